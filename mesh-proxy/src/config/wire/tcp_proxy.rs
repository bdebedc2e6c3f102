//! `TcpProxy`.

use std::time::Duration;

use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3 as proto;
use mesh_proto::envoy::r#type::v3::HashPolicy;

use super::access_log::access_logs;
use super::common::{
    duration, not_honoured, positive, refuse_set, required, required_name, timeout,
};
use crate::config::{Backoff, Error, Logged, Path, Target, TcpProxy, WeightedCluster};

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
        tunneling_config,
        proxy_protocol_tlvs,
        proxy_protocol_tlv_merge_policy,
        upstream_connect_mode,
        max_early_data_bytes,
        check_drain_close,
    );
    let logged = match access_log_options {
        Some(options) => {
            if access_log_flush_interval.is_some() || flush_access_log_on_connected {
                return Err(path.field("access_log_options").error(
                    "says the same as access_log_flush_interval and flush_access_log_on_connected; leave those out",
                ));
            }
            logged(options, &path.field("access_log_options"))?
        }
        None => logged(
            proto::tcp_proxy::TcpAccessLogOptions {
                access_log_flush_interval,
                flush_access_log_on_connected,
                flush_access_log_on_start: false,
            },
            path,
        )?,
    };
    let jitter = max_downstream_connection_duration_jitter_percentage;
    let max_connect_attempts = max_connect_attempts.unwrap_or(1);
    if max_connect_attempts == 0 {
        return Err(path.field("max_connect_attempts").error("found 0, expected 1 or more"));
    }
    Ok(TcpProxy {
        stat_prefix: required_name(path, "stat_prefix", &stat_prefix)?,
        target: target(path, cluster_specifier)?,
        idle_timeout: timeout(path, "idle_timeout", idle_timeout, Some(DEFAULT_IDLE_TIMEOUT))?,
        max_connect_attempts,
        hash_source_ip: hashes_source(&path.field("hash_policy"), hash_policy)?,
        backoff: backoff_options
            .map(|wire| backoff(wire, &path.field("backoff_options")))
            .transpose()?,
        max_duration: positive(
            path,
            "max_downstream_connection_duration",
            max_downstream_connection_duration,
        )?,
        max_duration_jitter: jitter.map_or(0.0, |percent| percent.value.clamp(0.0, 100.0) / 100.0),
        access_logs: access_logs(&path.field("access_log"), access_log)?,
        logged,
    })
}

fn logged(wire: proto::tcp_proxy::TcpAccessLogOptions, path: &Path) -> Result<Logged, Error> {
    let proto::tcp_proxy::TcpAccessLogOptions {
        access_log_flush_interval,
        flush_access_log_on_connected,
        flush_access_log_on_start,
    } = wire;
    let every = duration(path, "access_log_flush_interval", access_log_flush_interval)?;
    if let Some(every) = every.filter(|every| *every < Duration::from_millis(1)) {
        return Err(path
            .field("access_log_flush_interval")
            .error(format!("found {every:?}, expected 0.001s or more")));
    }
    Ok(Logged {
        on_start: flush_access_log_on_start,
        on_connected: flush_access_log_on_connected,
        every,
    })
}

/// Whether the one policy that there may be hashes the source's address.
fn hashes_source(path: &Path, policies: Vec<HashPolicy>) -> Result<bool, Error> {
    use mesh_proto::envoy::r#type::v3::hash_policy::{PolicySpecifier, SourceIp};
    let mut policies = policies.into_iter();
    let Some(HashPolicy { policy_specifier }) = policies.next() else { return Ok(false) };
    if policies.next().is_some() {
        return Err(path.error("found several, expected one"));
    }
    match policy_specifier {
        Some(PolicySpecifier::SourceIp(SourceIp {})) => Ok(true),
        Some(PolicySpecifier::FilterState(_)) => {
            Err(not_honoured(&path.index(0).field("filter_state")))
        }
        None => Err(path.index(0).error("missing: expected source_ip")),
    }
}

fn backoff(wire: core::BackoffStrategy, path: &Path) -> Result<Backoff, Error> {
    let core::BackoffStrategy { base_interval, max_interval } = wire;
    let base = positive(path, "base_interval", base_interval)?;
    let base = required(path, "base_interval", base)?;
    let most = positive(path, "max_interval", max_interval)?.unwrap_or(base.saturating_mul(10));
    match most >= base {
        true => Ok(Backoff { base, most }),
        false => Err(path.field("max_interval").error("is less than base_interval")),
    }
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
