//! `Cluster`.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::config::core::v3 as core;

use super::common::{
    ads_source, enumeration, not_honoured, positive, refuse_set, required, required_name,
    socket_ip_and_port,
};
use super::endpoint::{NamedEndpoint, load_assignment, named_endpoints, pipe};
use super::{breakers, dns, health_check, http_options, lb_policy, outlier, transport_socket};
use crate::config::{
    BufferLimit, Cluster, Discovery, DnsLookup, DnsName, Error, HttpProtocol, Name, Path,
    Transports,
};

/// Envoy's `Cluster`.
pub(crate) fn cluster(cluster: proto::Cluster, path: &Path) -> Result<Cluster, Error> {
    let proto::Cluster {
        transport_socket_matches,
        transport_socket_matcher,
        name,
        alt_stat_name,
        stats_matcher,
        eds_cluster_config,
        connect_timeout,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        lb_policy,
        load_assignment,
        health_checks,
        max_requests_per_connection,
        circuit_breakers,
        upstream_http_protocol_options,
        common_http_protocol_options,
        http_protocol_options,
        http2_protocol_options,
        typed_extension_protocol_options,
        dns_refresh_rate,
        dns_jitter,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_lookup_family,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        wait_for_warm_on_init,
        outlier_detection,
        cleanup_interval,
        upstream_bind_config,
        lb_subset_config,
        common_lb_config,
        transport_socket,
        metadata,
        protocol_selection,
        upstream_connection_options,
        close_connections_on_host_health_failure,
        ignore_health_on_host_removal,
        filters,
        load_balancing_policy,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets,
        upstream_config,
        track_cluster_stats,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
        cluster_discovery_type,
        lb_config,
    } = cluster;
    // Waiting is the default.
    let wait_for_warm_on_init = wait_for_warm_on_init == Some(false);
    refuse_set!(
        path,
        Cluster,
        transport_socket_matcher,
        stats_matcher,
        per_connection_buffer_high_watermark_timeout,
        upstream_http_protocol_options,
        typed_dns_resolver_config,
        wait_for_warm_on_init,
        cleanup_interval,
        metadata,
        upstream_connection_options,
        close_connections_on_host_health_failure,
        filters,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets,
        upstream_config,
        track_cluster_stats,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
    );
    let transports =
        transport_socket::of_cluster(path, transport_socket, transport_socket_matches)?;
    let name = required_name(path, "name", &name)?;
    let dns = dns::lookup(
        path,
        dns::Fields {
            refresh: dns_refresh_rate,
            failure: dns_failure_refresh_rate,
            respect_ttl: respect_dns_ttl,
            jitter: dns_jitter,
            family: dns_lookup_family,
            resolvers: dns_resolvers,
            by_tcp: use_tcp_for_dns_lookups,
            resolution: dns_resolution_config,
        },
    )?;
    let found = discovery(
        path,
        &name,
        Source { cluster_discovery_type, eds_cluster_config, load_assignment, dns },
    )?;
    let upstream = http_options::upstream(
        path,
        http_options::ClusterOptions {
            extensions: typed_extension_protocol_options,
            common: common_http_protocol_options,
            http1: http_protocol_options,
            http2: http2_protocol_options,
            max_requests_per_connection,
            protocol_selection,
        },
    )?;
    if matches!(found.discovery, Discovery::Pipe(_)) && transports != Transports::default() {
        return Err(path
            .field("transport_socket")
            .error("expected none: a pipe is spoken to in plain text"));
    }
    Ok(Cluster {
        stat_name: if alt_stat_name.is_empty() { name.clone() } else { alt_stat_name.into() },
        lb: lb_policy::load_balancing(
            path,
            lb_policy::Fields {
                provided: matches!(found.discovery, Discovery::OriginalDst),
                policy: lb_policy,
                settings: lb_config,
                extension: load_balancing_policy,
                common: common_lb_config,
                subsets: lb_subset_config,
            },
        )?,
        name,
        discovery: found.discovery,
        connect_timeout: positive(path, "connect_timeout", connect_timeout)?
            .unwrap_or(Duration::from_secs(5)),
        protocol: upstream.protocol,
        idle_timeout: upstream.idle_timeout,
        max_connection_duration: upstream.max_connection_duration,
        max_requests_per_connection: upstream.max_requests_per_connection,
        breakers: breakers::breakers(path, circuit_breakers)?,
        health_check: health_check::health_check(
            path,
            health_checks,
            upstream.protocol == HttpProtocol::Http2,
        )?
        .map(Arc::new),
        ignore_health_on_removal: ignore_health_on_host_removal,
        outlier: outlier_detection
            .map(|wire| outlier::outlier_detection(&path.field("outlier_detection"), wire))
            .transpose()?
            .map(Arc::new),
        bind_addresses: bind_addresses(path, upstream_bind_config)?,
        http1: Arc::new(upstream.http1),
        max_headers_size: upstream.max_headers_size,
        max_headers_count: upstream.max_headers_count,
        http2: upstream.http2,
        buffer_limit: BufferLimit::new(per_connection_buffer_limit_bytes),
        initial_fetch_timeout: found.initial_fetch_timeout,
        transports,
    })
}

/// The fields that say where endpoints come from.
struct Source {
    cluster_discovery_type: Option<proto::cluster::ClusterDiscoveryType>,
    eds_cluster_config: Option<proto::cluster::EdsClusterConfig>,
    load_assignment: Option<mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment>,
    dns: DnsLookup,
}

struct Found {
    discovery: Discovery,
    initial_fetch_timeout: Option<Duration>,
}

fn discovery(path: &Path, name: &Name, source: Source) -> Result<Found, Error> {
    use proto::cluster::{ClusterDiscoveryType, DiscoveryType};
    let Source { cluster_discovery_type, eds_cluster_config, load_assignment: assignment, mut dns } =
        source;
    let kind = match cluster_discovery_type {
        None => DiscoveryType::Static,
        Some(ClusterDiscoveryType::Type(value)) => enumeration(path, "type", value)?,
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            dns = dns::dns_cluster(&path.field("cluster_type"), custom)?;
            if dns.logical { DiscoveryType::LogicalDns } else { DiscoveryType::StrictDns }
        }
    };
    let inline = path.field("load_assignment");
    match (kind, &assignment) {
        (DiscoveryType::Eds | DiscoveryType::OriginalDst, Some(_)) => {
            return Err(inline.error(format!(
                "expected none: the endpoints of a cluster of type {} are found otherwise",
                kind.as_str_name()
            )));
        }
        (DiscoveryType::Static | DiscoveryType::StrictDns | DiscoveryType::LogicalDns, None) => {
            return Err(inline.error("missing: it is required"));
        }
        _ => {}
    }
    if kind != DiscoveryType::Eds && eds_cluster_config.is_some() {
        return Err(path.field("eds_cluster_config").error("expected only with type: EDS"));
    }
    let mut initial_fetch_timeout = None;
    let discovery = match (kind, assignment) {
        (DiscoveryType::Static, Some(assignment)) => match pipe(&assignment, &inline)? {
            Some(file) => Discovery::Pipe(file),
            None => Discovery::Static(Arc::new(load_assignment(assignment, &inline)?)),
        },
        (kind @ (DiscoveryType::StrictDns | DiscoveryType::LogicalDns), Some(assignment)) => {
            let (names, policy) = named_endpoints(assignment, &inline)?;
            dns.logical = kind == DiscoveryType::LogicalDns;
            if dns.logical && names.len() != 1 {
                let count = names.len();
                return Err(inline.error(format!("found {count} endpoints, expected one")));
            }
            let names = names.into_iter().map(dns_name).collect();
            Discovery::Dns { names, policy, lookup: Box::new(dns) }
        }
        (DiscoveryType::Eds, _) => {
            let path = path.field("eds_cluster_config");
            let eds = eds_cluster_config.unwrap_or_default();
            let proto::cluster::EdsClusterConfig { eds_config, service_name } = eds;
            initial_fetch_timeout = ads_source(&path.field("eds_config"), eds_config)?;
            let own = service_name.is_empty();
            Discovery::Eds { service_name: if own { name.clone() } else { service_name.into() } }
        }
        (DiscoveryType::OriginalDst, _) => Discovery::OriginalDst,
        (DiscoveryType::Static | DiscoveryType::StrictDns | DiscoveryType::LogicalDns, None) => {
            return Err(inline.error("missing: it is required"));
        }
    };
    Ok(Found { discovery, initial_fetch_timeout })
}

/// A name gives its endpoints their host name.
fn dns_name(NamedEndpoint { host, mut template, .. }: NamedEndpoint) -> DnsName {
    template.hostname.get_or_insert_with(|| host.as_str().into());
    DnsName { host, template }
}

/// Where connections come from. As in Envoy a second address must be of the other family.
fn bind_addresses(path: &Path, config: Option<core::BindConfig>) -> Result<Vec<IpAddr>, Error> {
    let Some(core::BindConfig {
        source_address,
        freebind,
        socket_options,
        extra_source_addresses,
        additional_source_addresses,
        local_address_selector,
        validate_network_namespaces,
    }) = config
    else {
        return Ok(Vec::new());
    };
    let path = path.field("upstream_bind_config");
    let freebind = freebind == Some(true);
    refuse_set!(
        &path,
        BindConfig,
        freebind,
        socket_options,
        additional_source_addresses,
        local_address_selector,
        validate_network_namespaces,
    );
    let mut found = Vec::new();
    if let Some(source) = source_address {
        found.push(source_ip(&path.field("source_address"), source)?);
    }
    for (index, extra) in extra_source_addresses.into_iter().enumerate() {
        let path = path.field("extra_source_addresses").index(index);
        let core::ExtraSourceAddress { address, socket_options } = extra;
        refuse_set!(&path, ExtraSourceAddress, socket_options);
        let address = source_ip(&path.field("address"), required(&path, "address", address)?)?;
        let Some(first) = found.first().filter(|_| found.len() == 1) else {
            let expected = "found without source_address, or a second one; expected one beside it";
            return Err(path.error(expected));
        };
        if first.is_ipv4() == address.is_ipv4() {
            let message = format!("{address} is of the family of {first}; expected the other one");
            return Err(path.field("address").error(message));
        }
        found.push(address);
    }
    Ok(found)
}

fn source_ip(path: &Path, source: core::SocketAddress) -> Result<IpAddr, Error> {
    let address = socket_ip_and_port(path, source)?;
    match address.port() {
        0 => Ok(address.ip()),
        _ => Err(not_honoured(&path.field("port_value"))),
    }
}
