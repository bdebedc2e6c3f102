//! `RouteAction`.

use std::time::Duration;

use http::HeaderValue;
use mesh_proto::envoy::config::route::v3 as proto;
use proto::route_action as parts;

use super::common::{duration, not_honoured, refuse_set, required, required_name, timeout};
use super::http_connection_manager::is_websocket;
use super::retry::retry_policy;
use super::tcp_proxy::weighted_target;
use crate::config::{Error, Forward, Path, RetryPolicy, Rewrite, Target, WeightedCluster};

/// Envoy's default `timeout`.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// Envoy's `RouteAction`; `retry` is the virtual host's policy.
pub(super) fn forward(
    action: proto::RouteAction,
    path: &Path,
    retry: Option<&RetryPolicy>,
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
        cluster_not_found_response_code,
        metadata_match,
        regex_rewrite,
        path_rewrite_policy,
        path_rewrite,
        append_x_forwarded_host,
        flush_timeout,
        early_data_policy,
        retry_policy_typed_config,
        request_mirror_policies,
        priority,
        rate_limits,
        include_vh_rate_limits,
        hash_policy,
        cors,
        max_grpc_timeout,
        grpc_timeout_offset,
        internal_redirect_policy,
        internal_redirect_action,
        max_internal_redirects,
        hedge_policy,
    );
    stream_duration(&path.field("max_stream_duration"), max_stream_duration)?;
    let retry = match own_retry {
        Some(policy) => Some(retry_policy(policy, &path.field("retry_policy"))?),
        None => retry.cloned(),
    };
    let idle_timeout = match duration(path, "idle_timeout", idle_timeout)? {
        None => None,
        Some(Duration::ZERO) => Some(None),
        some => Some(some),
    };
    Ok(Forward {
        target: target(path, cluster_specifier)?,
        timeout: timeout(path, "timeout", whole, Some(DEFAULT_TIMEOUT))?,
        idle_timeout,
        retry,
        path_rewrite: (!prefix_rewrite.is_empty()).then_some(Rewrite::Prefix(prefix_rewrite)),
        host_rewrite: host_rewrite(path, host_rewrite_specifier)?,
        websocket: websocket(&path.field("upgrade_configs"), upgrade_configs)?,
    })
}

fn target(path: &Path, specifier: Option<parts::ClusterSpecifier>) -> Result<Target, Error> {
    use parts::ClusterSpecifier;
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            Ok(Target::Cluster(required_name(path, "cluster", &name)?))
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            weighted_clusters(&path.field("weighted_clusters"), weighted)
        }
        Some(ClusterSpecifier::ClusterHeader(_)) => {
            Err(not_honoured(&path.field("cluster_header")))
        }
        Some(ClusterSpecifier::ClusterSpecifierPlugin(_)) => {
            Err(not_honoured(&path.field("cluster_specifier_plugin")))
        }
        Some(ClusterSpecifier::InlineClusterSpecifierPlugin(_)) => {
            Err(not_honoured(&path.field("inline_cluster_specifier_plugin")))
        }
        None => Err(path.error("missing: expected cluster or weighted_clusters")),
    }
}

fn weighted_clusters(path: &Path, weighted: proto::WeightedCluster) -> Result<Target, Error> {
    let proto::WeightedCluster {
        clusters,
        total_weight,
        runtime_key_prefix,
        random_value_specifier,
    } = weighted;
    refuse_set!(path, WeightedCluster, runtime_key_prefix, random_value_specifier);
    let list = path.field("clusters");
    let mut found = Vec::with_capacity(clusters.len());
    for (index, cluster) in clusters.into_iter().enumerate() {
        found.push(cluster_weight(&list.index(index), cluster)?);
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
) -> Result<WeightedCluster, Error> {
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
    refuse_set!(
        path,
        ClusterWeight,
        cluster_header,
        metadata_match,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        typed_per_filter_config,
        host_rewrite_specifier,
    );
    Ok(WeightedCluster {
        name: required_name(path, "name", &name)?,
        weight: required(path, "weight", weight)?,
    })
}

fn host_rewrite(
    path: &Path,
    specifier: Option<parts::HostRewriteSpecifier>,
) -> Result<Option<HeaderValue>, Error> {
    use parts::HostRewriteSpecifier;
    match specifier {
        Some(HostRewriteSpecifier::HostRewriteLiteral(host)) if !host.is_empty() => {
            let path = path.field("host_rewrite_literal");
            // It becomes the authority of an HTTP/2 request, too.
            match host.parse::<http::uri::Authority>() {
                Ok(_) => super::header::header_value(&path, &host).map(Some),
                Err(_) => Err(path.error(format!("found {host:?}, expected HOST or HOST:PORT"))),
            }
        }
        Some(HostRewriteSpecifier::HostRewriteLiteral(_))
        | Some(HostRewriteSpecifier::AutoHostRewrite(false))
        | None => Ok(None),
        Some(HostRewriteSpecifier::AutoHostRewrite(true)) => {
            Err(not_honoured(&path.field("auto_host_rewrite")))
        }
        Some(HostRewriteSpecifier::HostRewriteHeader(_)) => {
            Err(not_honoured(&path.field("host_rewrite_header")))
        }
        Some(HostRewriteSpecifier::HostRewritePathRegex(_)) => {
            Err(not_honoured(&path.field("host_rewrite_path_regex")))
        }
        Some(HostRewriteSpecifier::HostRewrite(_)) => {
            Err(not_honoured(&path.field("host_rewrite")))
        }
    }
}

/// Zero, which is no limit, is all that is honoured.
fn stream_duration(path: &Path, wire: Option<parts::MaxStreamDuration>) -> Result<(), Error> {
    let Some(wire) = wire else { return Ok(()) };
    let parts::MaxStreamDuration {
        max_stream_duration,
        grpc_timeout_header_max,
        grpc_timeout_header_offset,
    } = wire;
    let max_stream_duration = timeout(path, "max_stream_duration", max_stream_duration, None)?;
    refuse_set!(
        path,
        MaxStreamDuration,
        max_stream_duration,
        grpc_timeout_header_max,
        grpc_timeout_header_offset,
    );
    Ok(())
}

fn websocket(path: &Path, upgrades: Vec<parts::UpgradeConfig>) -> Result<Option<bool>, Error> {
    let mut websocket = None;
    for (index, upgrade) in upgrades.into_iter().enumerate() {
        let path = path.index(index);
        let parts::UpgradeConfig { upgrade_type, enabled, connect_config } = upgrade;
        refuse_set!(&path, RouteUpgradeConfig, connect_config);
        is_websocket(&path, &upgrade_type)?;
        websocket = Some(enabled.unwrap_or(true));
    }
    Ok(websocket)
}
