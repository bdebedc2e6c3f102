//! `lb_policy` and its settings, unless a `load_balancing_policy` takes their place.

use mesh_proto::envoy::config::cluster::v3 as proto;

use super::common::{enumeration, not_honoured, refuse_set};
use super::{lb_extension, lb_settings, subsets};
use crate::config::{
    Error, HashFunction, Hashing, LbPolicy, LeastRequest, LoadBalancing, Path, SlowStart,
};

/// What a cluster says of its load balancing, in all places.
pub(super) struct Fields {
    /// The cluster chooses endpoints itself.
    pub(super) provided: bool,
    pub(super) policy: i32,
    pub(super) settings: Option<proto::cluster::LbConfig>,
    pub(super) extension: Option<proto::LoadBalancingPolicy>,
    pub(super) common: Option<proto::cluster::CommonLbConfig>,
    pub(super) subsets: Option<proto::cluster::LbSubsetConfig>,
}

/// How the endpoints of a cluster share its requests.
pub(super) fn load_balancing(path: &Path, fields: Fields) -> Result<LoadBalancing, Error> {
    let common = common(path, fields.common)?;
    let subsets = subsets::subsets(path, fields.subsets)?;
    // The extension wins over `lb_policy`, as in Envoy.
    match fields.extension {
        Some(extension) => {
            if subsets.is_some() {
                let path = path.field("lb_subset_config");
                return Err(path.error("expected none beside a load_balancing_policy"));
            }
            // Of the common settings it heeds only those about health.
            let defaults = LoadBalancing {
                panic_threshold: common.panic_threshold,
                ignore_unchecked: common.ignore_unchecked,
                ..LoadBalancing::by(LbPolicy::RoundRobin)
            };
            lb_extension::load_balancing(&path.field("load_balancing_policy"), extension, &defaults)
        }
        None => {
            let (policy, slow_start) =
                legacy(path, fields.provided, fields.policy, fields.settings)?;
            if subsets.is_some() && fields.provided {
                return Err(path.field("lb_subset_config").error(
                    "expected none: a cluster of type ORIGINAL_DST has no endpoints of its own",
                ));
            }
            Ok(LoadBalancing { policy, slow_start, subsets, ..common })
        }
    }
}

/// `common_lb_config`, without a policy yet.
fn common(
    path: &Path,
    config: Option<proto::cluster::CommonLbConfig>,
) -> Result<LoadBalancing, Error> {
    use proto::cluster::common_lb_config::LocalityConfigSpecifier as Locality;
    let path = path.field("common_lb_config");
    let mut found = LoadBalancing::by(LbPolicy::RoundRobin);
    let proto::cluster::CommonLbConfig {
        healthy_panic_threshold,
        update_merge_window,
        ignore_new_hosts_until_first_hc,
        close_connections_on_host_set_change,
        consistent_hashing_lb_config,
        override_host_status,
        locality_config_specifier,
    } = config.unwrap_or_default();
    refuse_set!(
        &path,
        CommonLbConfig,
        update_merge_window,
        close_connections_on_host_set_change,
        override_host_status,
    );
    found.ignore_unchecked = ignore_new_hosts_until_first_hc;
    if let Some(config) = consistent_hashing_lb_config {
        let path = path.field("consistent_hashing_lb_config");
        let proto::cluster::common_lb_config::ConsistentHashingLbConfig {
            use_hostname_for_hashing: use_hostname,
            hash_balance_factor,
        } = config;
        let balance_factor = lb_settings::balance_factor(&path, hash_balance_factor)?;
        found.hashing = Hashing { use_hostname, balance_factor };
    }
    if let Some(percent) = healthy_panic_threshold {
        let path = path.field("healthy_panic_threshold");
        // Rounded, as in Envoy.
        found.panic_threshold = lb_settings::percent(&path, percent.value)?.round() as u32;
    }
    match locality_config_specifier {
        None => {}
        Some(Locality::LocalityWeightedLbConfig(_)) => found.by_locality = true,
        Some(Locality::ZoneAwareLbConfig(config)) => {
            let path = path.field("zone_aware_lb_config");
            let proto::cluster::common_lb_config::ZoneAwareLbConfig {
                routing_enabled,
                min_cluster_size,
                fail_traffic_on_panic,
            } = config;
            refuse_set!(&path, ZoneAwareLbConfig, routing_enabled, min_cluster_size);
            found.fail_on_panic = fail_traffic_on_panic;
        }
    }
    Ok(found)
}

/// `lb_policy` with its settings.
fn legacy(
    path: &Path,
    provided: bool,
    policy: i32,
    settings: Option<proto::cluster::LbConfig>,
) -> Result<(LbPolicy, Option<SlowStart>), Error> {
    use proto::cluster::LbPolicy as Wire;
    let wire: Wire = enumeration(path, "lb_policy", policy)?;
    let path_of_policy = path.field("lb_policy");
    let policy = match wire {
        Wire::RoundRobin => LbPolicy::RoundRobin,
        Wire::LeastRequest => LbPolicy::LeastRequest(LeastRequest::default()),
        Wire::Random => LbPolicy::Random,
        Wire::ClusterProvided => LbPolicy::ClusterProvided,
        Wire::RingHash => lb_settings::ring_hash(path, None, None, HashFunction::Xx)?,
        Wire::Maglev => lb_settings::maglev(path, None)?,
        Wire::LoadBalancingPolicyConfig => {
            return Err(path.field("load_balancing_policy").error("missing: it is required"));
        }
    };
    if provided != (policy == LbPolicy::ClusterProvided) {
        return Err(path_of_policy.error(format!(
            "found {}; a cluster of type ORIGINAL_DST takes CLUSTER_PROVIDED, and no other does",
            wire.as_str_name()
        )));
    }
    with_settings(path, policy, settings)
}

fn with_settings(
    path: &Path,
    policy: LbPolicy,
    settings: Option<proto::cluster::LbConfig>,
) -> Result<(LbPolicy, Option<SlowStart>), Error> {
    use proto::cluster::LbConfig;
    match (policy, settings) {
        (policy, None) => Ok((policy, None)),
        (LbPolicy::RoundRobin, Some(LbConfig::RoundRobinLbConfig(config))) => {
            let path = path.field("round_robin_lb_config");
            let proto::cluster::RoundRobinLbConfig { slow_start_config } = config;
            Ok((policy, slow_start(&path, slow_start_config)?))
        }
        (LbPolicy::LeastRequest(_), Some(LbConfig::LeastRequestLbConfig(config))) => {
            let path = path.field("least_request_lb_config");
            let proto::cluster::LeastRequestLbConfig {
                choice_count,
                active_request_bias,
                slow_start_config,
            } = config;
            let slow_start = slow_start(&path, slow_start_config)?;
            let policy =
                lb_settings::least_request(&path, choice_count, active_request_bias, false)?;
            Ok((policy, slow_start))
        }
        (LbPolicy::RingHash(_), Some(LbConfig::RingHashLbConfig(config))) => {
            use proto::cluster::ring_hash_lb_config::HashFunction as Wire;
            let path = path.field("ring_hash_lb_config");
            let proto::cluster::RingHashLbConfig {
                minimum_ring_size,
                hash_function,
                maximum_ring_size,
            } = config;
            let function = match enumeration(&path, "hash_function", hash_function)? {
                Wire::XxHash => HashFunction::Xx,
                Wire::MurmurHash2 => HashFunction::Murmur2,
            };
            let policy =
                lb_settings::ring_hash(&path, minimum_ring_size, maximum_ring_size, function)?;
            Ok((policy, None))
        }
        (LbPolicy::Maglev { .. }, Some(LbConfig::MaglevLbConfig(config))) => {
            let proto::cluster::MaglevLbConfig { table_size } = config;
            let policy = lb_settings::maglev(&path.field("maglev_lb_config"), table_size)?;
            Ok((policy, None))
        }
        (LbPolicy::ClusterProvided, Some(LbConfig::OriginalDstLbConfig(config))) => {
            let path = path.field("original_dst_lb_config");
            let proto::cluster::OriginalDstLbConfig {
                use_http_header,
                http_header_name,
                upstream_port_override,
                metadata_key,
            } = config;
            refuse_set!(
                &path,
                OriginalDstLbConfig,
                use_http_header,
                http_header_name,
                upstream_port_override,
                metadata_key,
            );
            Ok((policy, None))
        }
        (_, Some(settings)) => Err(not_honoured(&path.field(match settings {
            LbConfig::RingHashLbConfig(_) => "ring_hash_lb_config",
            LbConfig::MaglevLbConfig(_) => "maglev_lb_config",
            LbConfig::OriginalDstLbConfig(_) => "original_dst_lb_config",
            LbConfig::LeastRequestLbConfig(_) => "least_request_lb_config",
            LbConfig::RoundRobinLbConfig(_) => "round_robin_lb_config",
        }))),
    }
}

fn slow_start(
    path: &Path,
    config: Option<proto::cluster::SlowStartConfig>,
) -> Result<Option<SlowStart>, Error> {
    let Some(config) = config else { return Ok(None) };
    let proto::cluster::SlowStartConfig { slow_start_window, aggression, min_weight_percent } =
        config;
    let path = path.field("slow_start_config");
    lb_settings::slow_start(&path, slow_start_window, aggression, min_weight_percent)
}
