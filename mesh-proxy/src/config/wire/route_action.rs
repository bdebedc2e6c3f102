//! `RouteAction`.

use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::route::v3 as proto;
use proto::route_action as parts;

use super::common::{
    duration, enumeration, not_honoured, refuse_set, required, required_name, timeout,
};
use super::hash_policy::hash_policies;
use super::header::{name_of_header, request_changes, response_changes};
use super::http_filter::filter_overrides;
use super::metadata;
use super::mirror::mirrors;
use super::retry::retry_policy;
use super::route::Inherited;
use super::route_match::substitution;
use super::tcp_proxy::weighted_target;
use crate::config::{
    ClusterName, Destination, Error, Forward, GrpcTimeout, HostRewrite, Labels, Path, Rewrite,
    RoutingPriority, StreamDuration, Target, Upgrades, WeightedCluster,
};

/// Where a route's metadata says what it asks of an endpoint.
const SUBSET: &str = "envoy.lb";

/// Envoy's default `timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// Envoy's `RouteAction`.
pub(super) fn forward(
    action: proto::RouteAction,
    path: &Path,
    inherited: &Inherited,
) -> Result<Forward, Error> {
    let proto::RouteAction {
        cluster_not_found_response_code,
        metadata_match,
        prefix_rewrite,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        timeout: whole,
        idle_timeout,
        flush_timeout,
        early_data_policy,
        retry_policy: own_retry,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits,
        hash_policy,
        cors,
        max_grpc_timeout,
        grpc_timeout_offset,
        upgrade_configs,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
        max_stream_duration,
        cluster_specifier,
        host_rewrite_specifier,
    } = action;
    refuse_set!(
        path,
        RouteAction,
        path_rewrite_policy,
        path_rewrite,
        flush_timeout,
        early_data_policy,
        retry_policy_typed_config,
        rate_limits,
        include_vh_rate_limits,
        cors,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
    );
    let duration_path = path.field("max_stream_duration");
    let stream_duration = stream_duration(&duration_path, max_stream_duration)?;
    let grpc_offset = duration(path, "grpc_timeout_offset", grpc_timeout_offset)?;
    let grpc_timeout = grpc_timeout(path, "max_grpc_timeout", max_grpc_timeout, grpc_offset)?;
    let retry = match own_retry {
        Some(policy) => Some(retry_policy(policy, &path.field("retry_policy"))?),
        None => inherited.retry.clone(),
    };
    let idle_timeout = match duration(path, "idle_timeout", idle_timeout)? {
        None => None,
        Some(Duration::ZERO) => Some(None),
        some => Some(some),
    };
    Ok(Forward {
        chosen_by: chosen_by(path, cluster_specifier.as_ref())?,
        target: target(path, cluster_specifier, metadata_match.as_ref())?,
        hash: hash_policies(&path.field("hash_policy"), hash_policy)?,
        priority: match enumeration(path, "priority", priority)? {
            core::RoutingPriority::Default => RoutingPriority::Default,
            core::RoutingPriority::High => RoutingPriority::High,
        },
        not_found: not_found(path, cluster_not_found_response_code)?,
        // Envoy: with `max_stream_duration` it has no effect.
        timeout: timeout(path, "timeout", whole, Some(DEFAULT_TIMEOUT))?
            .filter(|_| stream_duration.is_none()),
        // Envoy: the newer field excludes the older.
        grpc_timeout: grpc_timeout.filter(|_| stream_duration.is_none()),
        stream_duration,
        idle_timeout,
        retry,
        body_limit: None,
        mirrors: mirrors(path, request_mirror_policies, &inherited.mirrors)?,
        path_rewrite: path_rewrite_of(path, prefix_rewrite, regex_rewrite)?,
        host_rewrite: host_rewrite(path, host_rewrite_specifier)?,
        append_forwarded_host: append_x_forwarded_host,
        upgrades: upgrades(&path.field("upgrade_configs"), upgrade_configs)?,
    })
}

fn target(
    path: &Path,
    specifier: Option<parts::ClusterSpecifier>,
    metadata_match: Option<&core::Metadata>,
) -> Result<Target<Destination>, Error> {
    use parts::ClusterSpecifier;
    let subset = metadata::of_filter(metadata_match, SUBSET);
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            let name = ClusterName::Fixed(required_name(path, "cluster", &name)?);
            Ok(Target::Cluster(Destination { subset, ..Destination::to(name) }))
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted_clusters(&path.field("weighted_clusters"), weighted, &subset)
        }
        Some(ClusterSpecifier::ClusterHeader(name)) => {
            let name = ClusterName::Header(name_of_header(&path.field("cluster_header"), &name)?);
            Ok(Target::Cluster(Destination { subset, ..Destination::to(name) }))
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => {
            Err(not_honoured(&path.field("cluster_specifier_plugin")))
        }
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {
            Err(not_honoured(&path.field("inline_cluster_specifier_plugin")))
        }
        None => Err(path.error("missing: expected cluster, weighted_clusters or cluster_header")),
    }
}

/// The header whose number chooses one of weighted clusters.
fn chosen_by(
    path: &Path,
    specifier: Option<&parts::ClusterSpecifier>,
) -> Result<Option<HeaderName>, Error> {
    use proto::weighted_cluster::RandomValueSpecifier;
    let Some(parts::ClusterSpecifier::WeightedClusters(weighted)) = specifier else {
        return Ok(None);
    };
    let path = path.field("weighted_clusters");
    match &weighted.random_value_specifier {
        None | Some(RandomValueSpecifier::UseHashPolicy(false)) => Ok(None),
        Some(RandomValueSpecifier::HeaderName(name)) if name.is_empty() => Ok(None),
        Some(RandomValueSpecifier::HeaderName(name)) => {
            name_of_header(&path.field("header_name"), name).map(Some)
        }
        Some(RandomValueSpecifier::UseHashPolicy(true)) => {
            Err(not_honoured(&path.field("use_hash_policy")))
        }
    }
}

fn weighted_clusters(
    path: &Path,
    weighted: proto::WeightedCluster,
    subset: &Labels,
) -> Result<Target<Destination>, Error> {
    let proto::WeightedCluster {
        clusters,
        total_weight,
        runtime_key_prefix,
        random_value_specifier: _,
    } = weighted;
    refuse_set!(path, WeightedCluster, runtime_key_prefix);
    let list = path.field("clusters");
    let mut found = Vec::with_capacity(clusters.len());
    for (index, cluster) in clusters.into_iter().enumerate() {
        found.push(cluster_weight(&list.index(index), cluster, subset)?);
    }
    let target = weighted_target(&list, found)?;
    match (total_weight, &target) {
        (Some(expected), Target::Weighted { total, .. }) if expected != *total => {
            let message = format!("found {expected}, but the weights add up to {total}; remove it");
            Err(path.field("total_weight").error(message))
        }
        _ => Ok(target),
    }
}

fn cluster_weight(
    path: &Path,
    cluster: proto::weighted_cluster::ClusterWeight,
    subset: &Labels,
) -> Result<WeightedCluster<Destination>, Error> {
    use proto::weighted_cluster::cluster_weight::HostRewriteSpecifier;
    let proto::weighted_cluster::ClusterWeight {
        name,
        cluster_header,
        weight,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    } = cluster;
    // The cluster's own over the route's.
    let mut subset = subset.clone();
    subset.extend(metadata::of_filter(metadata_match.as_ref(), SUBSET));
    let name = match (name.is_empty(), cluster_header.is_empty()) {
        (true, false) => {
            let path = path.field("cluster_header");
            ClusterName::Header(name_of_header(&path, &cluster_header)?)
        }
        (false, false) => return Err(path.error("has both name and cluster_header, expected one")),
        (_, true) => ClusterName::Fixed(required_name(path, "name", &name)?),
    };
    let host_rewrite = match host_rewrite_specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => literal_host(path, &host)?,
        None => None,
    };
    Ok(WeightedCluster {
        cluster: Destination {
            filters: filter_overrides(path, typed_per_filter_config)?,
            cluster: name,
            subset,
            host_rewrite,
            request_headers: request_changes(
                path,
                request_headers_to_add,
                &request_headers_to_remove,
            )?,
            response_headers: response_changes(
                path,
                response_headers_to_add,
                &response_headers_to_remove,
            )?,
        },
        weight: required(path, "weight", weight)?,
    })
}

fn not_found(path: &Path, code: i32) -> Result<StatusCode, Error> {
    use parts::ClusterNotFoundResponseCode as Code;
    Ok(match enumeration(path, "cluster_not_found_response_code", code)? {
        Code::ServiceUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
    })
}

fn path_rewrite_of(
    path: &Path,
    prefix: String,
    regex: Option<mesh_proto::envoy::r#type::matcher::v3::RegexMatchAndSubstitute>,
) -> Result<Option<Rewrite>, Error> {
    match (prefix.is_empty(), regex) {
        (true, None) => Ok(None),
        (false, None) => Ok(Some(Rewrite::Prefix(prefix))),
        (true, Some(regex)) => {
            substitution(regex, &path.field("regex_rewrite")).map(Rewrite::Regex).map(Some)
        }
        (false, Some(_)) => {
            Err(path.error("has both prefix_rewrite and regex_rewrite, expected one"))
        }
    }
}

fn host_rewrite(
    path: &Path,
    specifier: Option<parts::HostRewriteSpecifier>,
) -> Result<Option<HostRewrite>, Error> {
    use parts::HostRewriteSpecifier;
    Ok(match specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) => {
            literal_host(path, &host)?.map(HostRewrite::Literal)
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(name)) if !name.is_empty() => {
            let path = path.field("host_rewrite_header");
            Some(HostRewrite::Header(name_of_header(&path, &name)?))
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(regex)) => {
            let path = path.field("host_rewrite_path_regex");
            Some(HostRewrite::Path(substitution(regex, &path)?))
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(_))
        | Some(HostRewriteSpecifier::AutoHostRewrite(false))
        | None => None,
        Some(HostRewriteSpecifier::AutoHostRewrite(true)) => Some(HostRewrite::Endpoint),
        Some(HostRewriteSpecifier::HostRewrite(_)) => {
            return Err(not_honoured(&path.field("host_rewrite")));
        }
    })
}

/// A `host_rewrite_literal`, which becomes the authority of an HTTP/2 request, too; `None`
/// when empty.
pub(super) fn literal_host(path: &Path, host: &str) -> Result<Option<HeaderValue>, Error> {
    if host.is_empty() {
        return Ok(None);
    }
    let path = path.field("host_rewrite_literal");
    match host.parse::<http::uri::Authority>() {
        Ok(_) => HeaderValue::from_str(host)
            .map(Some)
            .map_err(|_| path.error(format!("found {host:?}, which is no header value"))),
        Err(_) => Err(path.error(format!("found {host:?}, expected HOST or HOST:PORT"))),
    }
}

fn stream_duration(
    path: &Path,
    wire: Option<parts::MaxStreamDuration>,
) -> Result<Option<StreamDuration>, Error> {
    let Some(wire) = wire else { return Ok(None) };
    let parts::MaxStreamDuration {
        max_stream_duration,
        grpc_timeout_header_max,
        grpc_timeout_header_offset,
    } = wire;
    let offset = duration(path, "grpc_timeout_header_offset", grpc_timeout_header_offset)?;
    Ok(Some(StreamDuration {
        max: timeout(path, "max_stream_duration", max_stream_duration, None)?,
        grpc: grpc_timeout(path, "grpc_timeout_header_max", grpc_timeout_header_max, offset)?,
    }))
}

fn grpc_timeout(
    path: &Path,
    field: &str,
    max: Option<prost_types::Duration>,
    offset: Option<Duration>,
) -> Result<Option<GrpcTimeout>, Error> {
    let max = duration(path, field, max)?;
    Ok(max.map(|max| GrpcTimeout {
        max: Some(max).filter(|max| !max.is_zero()),
        offset: offset.unwrap_or_default(),
    }))
}

fn upgrades(path: &Path, upgrades: Vec<parts::UpgradeConfig>) -> Result<Upgrades, Error> {
    let mut found = Vec::with_capacity(upgrades.len());
    for (index, upgrade) in upgrades.into_iter().enumerate() {
        let path = path.index(index);
        let parts::UpgradeConfig { upgrade_type, enabled, connect_config } = upgrade;
        refuse_set!(&path, RouteUpgradeConfig, connect_config);
        let name = required_name(&path, "upgrade_type", &upgrade_type)?;
        found.push((name, enabled.unwrap_or(true)));
    }
    Ok(Upgrades(found))
}
