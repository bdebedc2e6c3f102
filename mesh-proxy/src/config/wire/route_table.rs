//! `RouteConfiguration` and `VirtualHost`.

use std::collections::HashSet;
use std::sync::Arc;

use mesh_proto::envoy::config::route::v3 as proto;
use proto::virtual_host::TlsRequirementType;

use super::KnownClusters;
use super::common::{enumeration, refuse_set, required_name};
use super::header::{request_changes, response_changes};
use super::http_filter::filter_overrides;
use super::mirror::mirrors;
use super::retry::retry_policy;
use super::route::{BodyLimit, Inherited, route};
use crate::config::{
    Action, AttemptHeaders, ClusterName, Error, Mirror, Name, Path, RequireTls, RouteTable,
    VirtualHost,
};

/// Envoy's `RouteConfiguration`, as RDS brings it: clusters are looked for only when
/// `validate_clusters` says so.
pub(crate) fn route_table(
    table: proto::RouteConfiguration,
    path: &Path,
    known: KnownClusters<'_>,
) -> Result<RouteTable, Error> {
    let validate = table.validate_clusters.unwrap_or(false);
    validated(table, path, known, validate)
}

/// A `route_config`, whose clusters must exist unless `validate_clusters` says otherwise.
pub(super) fn inline_route_table(
    table: proto::RouteConfiguration,
    path: &Path,
    known: KnownClusters<'_>,
) -> Result<RouteTable, Error> {
    let validate = table.validate_clusters.unwrap_or(true);
    validated(table, path, known, validate)
}

fn validated(
    table: proto::RouteConfiguration,
    path: &Path,
    known: KnownClusters<'_>,
    validate: bool,
) -> Result<RouteTable, Error> {
    let table = convert(table, path)?;
    match validate.then(|| unknown_cluster(&table, path, known)).flatten() {
        Some(error) => Err(error),
        None => Ok(table),
    }
}

/// The first cluster of a table that is not known, as an error with its path.
fn unknown_cluster(table: &RouteTable, path: &Path, known: KnownClusters<'_>) -> Option<Error> {
    for (host, virtual_host) in table.virtual_hosts.iter().enumerate() {
        for (index, route) in virtual_host.routes.iter().enumerate() {
            let Action::Forward(forward) = &route.action else { continue };
            let targets = forward.target.all().map(|to| &to.cluster);
            let all = targets.chain(forward.mirrors.iter().map(|mirror| &mirror.cluster));
            let mut names = all.filter_map(|cluster| match cluster {
                ClusterName::Fixed(name) => Some(name),
                ClusterName::Header(_) => None,
            });
            if let Some(name) = names.find(|name| !known(name)) {
                let path = path.field("virtual_hosts").index(host).field("routes").index(index);
                return Some(path.field("route").error(format!(
                    "found cluster {name:?}, which does not exist; expected the name of a cluster"
                )));
            }
        }
    }
    None
}

fn convert(table: proto::RouteConfiguration, path: &Path) -> Result<RouteTable, Error> {
    let proto::RouteConfiguration {
        name,
        virtual_hosts,
        vhds,
        internal_only_headers,
        response_headers_to_add,
        response_headers_to_remove,
        request_headers_to_add,
        request_headers_to_remove,
        most_specific_header_mutations_wins,
        validate_clusters: _,
        max_direct_response_body_size_bytes,
        cluster_specifier_plugins,
        request_mirror_policies,
        ignore_port_in_host_matching,
        vhost_header,
        ignore_path_parameters_in_path_matching,
        typed_per_filter_config,
        metadata,
        route_specifiers,
    } = table;
    refuse_set!(
        path,
        RouteConfiguration,
        vhds,
        internal_only_headers,
        cluster_specifier_plugins,
        vhost_header,
        metadata,
        route_specifiers,
    );
    // Envoy's default.
    let direct_limit = max_direct_response_body_size_bytes.unwrap_or(4096) as usize;
    let mirrored = mirrors(path, request_mirror_policies, &[])?;
    let mut domains = HashSet::new();
    let mut hosts = Vec::with_capacity(virtual_hosts.len());
    for (index, host) in virtual_hosts.into_iter().enumerate() {
        let path = path.field("virtual_hosts").index(index);
        let host = virtual_host(host, &path, &mirrored, direct_limit)?;
        for (index, domain) in host.domains.iter().enumerate() {
            if !domains.insert(domain.clone()) {
                return Err(path.field("domains").index(index).error(format!(
                    "found {domain:?} for the second time; a domain belongs to one virtual host"
                )));
            }
        }
        hosts.push(Arc::new(host));
    }
    Ok(RouteTable {
        name: name.into(),
        virtual_hosts: hosts,
        request_headers: request_changes(path, request_headers_to_add, &request_headers_to_remove)?,
        response_headers: response_changes(
            path,
            response_headers_to_add,
            &response_headers_to_remove,
        )?,
        filters: filter_overrides(path, typed_per_filter_config)?,
        most_specific_wins: most_specific_header_mutations_wins,
        ignore_port: ignore_port_in_host_matching,
        ignore_path_parameters: ignore_path_parameters_in_path_matching,
    })
}

fn virtual_host(
    host: proto::VirtualHost,
    path: &Path,
    mirrored: &[Mirror],
    direct_limit: usize,
) -> Result<VirtualHost, Error> {
    let proto::VirtualHost {
        name,
        domains,
        routes,
        matcher,
        require_tls,
        virtual_clusters,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy: retry,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        request_mirror_policies,
        metadata,
        route_specifiers,
    } = host;
    refuse_set!(
        path,
        VirtualHost,
        matcher,
        virtual_clusters,
        rate_limits,
        cors,
        retry_policy_typed_config,
        hedge_policy,
        metadata,
        route_specifiers,
    );
    let name = required_name(path, "name", &name)?;
    // A route without a retry policy takes that of its virtual host.
    let retry =
        retry.map(|policy| retry_policy(policy, &path.field("retry_policy"))).transpose()?;
    let mirrors = mirrors(path, request_mirror_policies, mirrored)?;
    let body_limit =
        BodyLimit { newer: request_body_buffer_limit, older: per_request_buffer_limit_bytes };
    let inherited = Inherited { retry, mirrors, direct_limit, body_limit };
    Ok(VirtualHost {
        name,
        domains: domains_of(&path.field("domains"), domains)?,
        routes: routes_of(&path.field("routes"), routes, &inherited)?,
        request_headers: request_changes(path, request_headers_to_add, &request_headers_to_remove)?,
        response_headers: response_changes(
            path,
            response_headers_to_add,
            &response_headers_to_remove,
        )?,
        attempts: AttemptHeaders {
            in_request: include_request_attempt_count,
            in_response: include_attempt_count_in_response,
            is_timeout: include_is_timeout_retry_header,
        },
        require_tls: match enumeration(path, "require_tls", require_tls)? {
            TlsRequirementType::None => RequireTls::Nobody,
            TlsRequirementType::ExternalOnly => RequireTls::External,
            TlsRequirementType::All => RequireTls::Everybody,
        },
        filters: filter_overrides(path, typed_per_filter_config)?,
    })
}

fn routes_of(
    path: &Path,
    routes: Vec<proto::Route>,
    inherited: &Inherited,
) -> Result<Vec<Arc<crate::config::Route>>, Error> {
    let mut found = Vec::with_capacity(routes.len());
    for (index, wire) in routes.into_iter().enumerate() {
        found.push(Arc::new(route(wire, &path.index(index), inherited)?));
    }
    Ok(found)
}

/// Domains in lower case: exact, `*.suffix`, `prefix.*` or `*`.
fn domains_of(path: &Path, domains: Vec<String>) -> Result<Vec<Name>, Error> {
    if domains.is_empty() {
        return Err(path.error("missing: at least one is required"));
    }
    let mut found = Vec::with_capacity(domains.len());
    for (index, domain) in domains.into_iter().enumerate() {
        let inner = domain.strip_prefix('*').or_else(|| domain.strip_suffix('*'));
        if domain.is_empty() || inner.unwrap_or(&domain).contains('*') {
            return Err(path.index(index).error(format!(
                "found {domain:?}, expected a domain, optionally with one * at its start or end"
            )));
        }
        found.push(Name::from(domain.to_ascii_lowercase()));
    }
    Ok(found)
}
