//! `TcpProxy`.

use std::time::Duration;

use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3 as proto;

use super::access_log::access_logs;
use super::common::{refuse_set, required_name, timeout};
use crate::config::{Error, Path, Target, TcpProxy, WeightedCluster};

const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Envoy's `TcpProxy`.
pub(super) fn tcp_proxy(proxy: proto::TcpProxy, path: &Path) -> Result<TcpProxy, Error> {
    let proto::TcpProxy {
        stat_prefix,
        on_demand,
        metadata_match,
        idle_timeout,
        downstream_idle_timeout,
        upstream_idle_timeout,
        access_log,
        max_connect_attempts,
        backoff_options,
        hash_policy,
        tunneling_config,
        max_downstream_connection_duration,
        max_downstream_connection_duration_jitter_percentage,
        access_log_flush_interval,
        flush_access_log_on_connected,
        access_log_options,
        proxy_protocol_tlvs,
        proxy_protocol_tlv_merge_policy,
        upstream_connect_mode,
        max_early_data_bytes,
        check_drain_close,
        cluster_specifier,
    } = proxy;
    let check_drain_close = check_drain_close == Some(true);
    refuse_set!(
        path,
        TcpProxy,
        on_demand,
        metadata_match,
        downstream_idle_timeout,
        upstream_idle_timeout,
        backoff_options,
        hash_policy,
        tunneling_config,
        max_downstream_connection_duration,
        max_downstream_connection_duration_jitter_percentage,
        access_log_flush_interval,
        flush_access_log_on_connected,
        access_log_options,
        proxy_protocol_tlvs,
        proxy_protocol_tlv_merge_policy,
        upstream_connect_mode,
        max_early_data_bytes,
        check_drain_close,
    );
    let max_connect_attempts = max_connect_attempts.unwrap_or(1);
    if max_connect_attempts == 0 {
        return Err(path.field("max_connect_attempts").error("found 0, expected 1 or more"));
    }
    Ok(TcpProxy {
        stat_prefix: required_name(path, "stat_prefix", &stat_prefix)?,
        target: target(path, cluster_specifier)?,
        idle_timeout: timeout(path, "idle_timeout", idle_timeout, Some(DEFAULT_IDLE_TIMEOUT))?,
        max_connect_attempts,
        access_logs: access_logs(&path.field("access_log"), access_log)?,
    })
}

fn target(
    path: &Path,
    specifier: Option<proto::tcp_proxy::ClusterSpecifier>,
) -> Result<Target, Error> {
    use proto::tcp_proxy::ClusterSpecifier;
    match specifier {
        Some(ClusterSpecifier::Cluster(name)) => {
            Ok(Target::Cluster(required_name(path, "cluster", &name)?))
        }
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let path = path.field("weighted_clusters").field("clusters");
            let mut clusters = Vec::with_capacity(weighted.clusters.len());
            for (index, cluster) in weighted.clusters.into_iter().enumerate() {
                let path = path.index(index);
                let proto::tcp_proxy::weighted_cluster::ClusterWeight {
                    name,
                    weight,
                    metadata_match,
                } = cluster;
                refuse_set!(&path, TcpClusterWeight, metadata_match);
                let cluster = required_name(&path, "name", &name)?;
                clusters.push(WeightedCluster { cluster, weight });
            }
            weighted_target(&path, clusters)
        }
        None => Err(path.error("missing: expected cluster or weighted_clusters")),
    }
}

/// Weighted clusters whose weights make sense together.
pub(super) fn weighted_target<C>(
    path: &Path,
    clusters: Vec<WeightedCluster<C>>,
) -> Result<Target<C>, Error> {
    let total = clusters.iter().map(|cluster| u64::from(cluster.weight)).sum::<u64>();
    match u32::try_from(total) {
        Ok(0) => Err(path.error("the weights add up to 0; expected more than 0")),
        Ok(total) => Ok(Target::Weighted { clusters, total }),
        Err(_) => {
            Err(path.error(format!("the weights add up to {total}; expected at most {}", u32::MAX)))
        }
    }
}
