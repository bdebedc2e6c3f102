//! `load_balancing_policy`.

use mesh_proto::any;
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::extensions::load_balancing_policies::common::v3::{
    ConsistentHashingLbConfig, LocalityLbConfig, SlowStartConfig, locality_lb_config,
};
use mesh_proto::envoy::extensions::load_balancing_policies::{
    least_request::v3::{self as least_request, least_request::SelectionMethod},
    maglev::v3::Maglev,
    random::v3::Random,
    ring_hash::v3::{RingHash, ring_hash::HashFunction as Wire},
    round_robin::v3::RoundRobin,
};
use prost::Name as _;
use prost_types::Any;

use super::common::{decode, enumeration, refuse_set, unknown_type};
use super::lb_settings;
use crate::config::{Error, HashFunction, Hashing, LbPolicy, LoadBalancing, Path, SlowStart};

/// The first policy that we have; Envoy skips those that it does not know.
pub(super) fn load_balancing(
    path: &Path,
    extension: proto::LoadBalancingPolicy,
    defaults: &LoadBalancing,
) -> Result<LoadBalancing, Error> {
    let path = path.field("policies");
    let mut refused = None;
    for (index, policy) in extension.policies.into_iter().enumerate() {
        let path = path.index(index).field("typed_extension_config").field("typed_config");
        let any = policy.typed_extension_config.and_then(|config| config.typed_config);
        match any.as_ref().map_or(Ok(None), |any| known(&path, any, defaults))? {
            Some(policy) => return Ok(policy),
            None => {
                refused.get_or_insert_with(|| unknown_type(&path, any.as_ref(), &ours()));
            }
        }
    }
    Err(refused.unwrap_or_else(|| path.error("found none, expected one or more")))
}

fn known(path: &Path, any: &Any, defaults: &LoadBalancing) -> Result<Option<LoadBalancing>, Error> {
    let mut found = defaults.clone();
    if any::is::<RoundRobin>(any) {
        let RoundRobin { slow_start_config, locality_lb_config } = decode(path, any)?;
        found.slow_start = slow_start(path, slow_start_config)?;
        locality(path, locality_lb_config, &mut found)?;
        return Ok(Some(LoadBalancing { policy: LbPolicy::RoundRobin, ..found }));
    }
    if any::is::<Random>(any) {
        let Random { locality_lb_config } = decode(path, any)?;
        locality(path, locality_lb_config, &mut found)?;
        return Ok(Some(LoadBalancing { policy: LbPolicy::Random, ..found }));
    }
    if any::is::<least_request::LeastRequest>(any) {
        let least_request::LeastRequest {
            choice_count,
            active_request_bias,
            slow_start_config,
            locality_lb_config,
            enable_full_scan,
            selection_method,
        } = decode(path, any)?;
        found.slow_start = slow_start(path, slow_start_config)?;
        locality(path, locality_lb_config, &mut found)?;
        let method: SelectionMethod = enumeration(path, "selection_method", selection_method)?;
        let full_scan = enable_full_scan == Some(true) || method == SelectionMethod::FullScan;
        let policy =
            lb_settings::least_request(path, choice_count, active_request_bias, full_scan)?;
        return Ok(Some(LoadBalancing { policy, ..found }));
    }
    if any::is::<RingHash>(any) {
        return ring_hash(path, decode(path, any)?, found).map(Some);
    }
    if any::is::<Maglev>(any) {
        let Maglev { table_size, consistent_hashing_lb_config, locality_weighted_lb_config } =
            decode(path, any)?;
        found.hashing = consistent_hashing(path, consistent_hashing_lb_config)?;
        found.by_locality = locality_weighted_lb_config.is_some();
        let policy = lb_settings::maglev(path, table_size)?;
        return Ok(Some(LoadBalancing { policy, ..found }));
    }
    Ok(None)
}

fn slow_start(path: &Path, config: Option<SlowStartConfig>) -> Result<Option<SlowStart>, Error> {
    let Some(config) = config else { return Ok(None) };
    let SlowStartConfig { slow_start_window, aggression, min_weight_percent } = config;
    let path = path.field("slow_start_config");
    lb_settings::slow_start(&path, slow_start_window, aggression, min_weight_percent)
}

fn ring_hash(
    path: &Path,
    settings: RingHash,
    defaults: LoadBalancing,
) -> Result<LoadBalancing, Error> {
    let RingHash {
        hash_function,
        minimum_ring_size,
        maximum_ring_size,
        use_hostname_for_hashing: use_hostname,
        hash_balance_factor,
        consistent_hashing_lb_config,
        locality_weighted_lb_config,
    } = settings;
    let function = match enumeration(path, "hash_function", hash_function)? {
        Wire::DefaultHash | Wire::XxHash => HashFunction::Xx,
        Wire::MurmurHash2 => HashFunction::Murmur2,
    };
    let hashing = match consistent_hashing_lb_config {
        // Then the deprecated fields count for nothing, as in Envoy.
        Some(config) => consistent_hashing(path, Some(config))?,
        None => {
            let balance_factor = lb_settings::balance_factor(path, hash_balance_factor)?;
            Hashing { use_hostname, balance_factor }
        }
    };
    Ok(LoadBalancing {
        policy: lb_settings::ring_hash(path, minimum_ring_size, maximum_ring_size, function)?,
        hashing,
        by_locality: locality_weighted_lb_config.is_some(),
        ..defaults
    })
}

fn consistent_hashing(
    path: &Path,
    config: Option<ConsistentHashingLbConfig>,
) -> Result<Hashing, Error> {
    let path = path.field("consistent_hashing_lb_config");
    let ConsistentHashingLbConfig {
        use_hostname_for_hashing: use_hostname,
        hash_balance_factor,
        hash_policy,
    } = config.unwrap_or_default();
    lb_settings::no_hash_policy(&path, &hash_policy)?;
    let balance_factor = lb_settings::balance_factor(&path, hash_balance_factor)?;
    Ok(Hashing { use_hostname, balance_factor })
}

/// `locality_lb_config`
fn locality(
    path: &Path,
    config: Option<LocalityLbConfig>,
    found: &mut LoadBalancing,
) -> Result<(), Error> {
    use locality_lb_config::LocalityConfigSpecifier as Choice;
    let path = path.field("locality_lb_config");
    match config.map(|config| config.locality_config_specifier) {
        None => Ok(()),
        Some(None) => {
            let expected = "locality_weighted_lb_config or zone_aware_lb_config";
            Err(path.error(format!("missing: expected {expected}")))
        }
        Some(Some(Choice::LocalityWeightedLbConfig(_))) => {
            found.by_locality = true;
            Ok(())
        }
        Some(Some(Choice::ZoneAwareLbConfig(config))) => {
            let path = path.field("zone_aware_lb_config");
            let locality_lb_config::ZoneAwareLbConfig {
                routing_enabled,
                min_cluster_size,
                fail_traffic_on_panic,
                force_locality_direct_routing,
                force_local_zone,
                locality_basis,
            } = config;
            refuse_set!(
                &path,
                ZoneAwareLbConfig,
                routing_enabled,
                min_cluster_size,
                force_locality_direct_routing,
                force_local_zone,
                locality_basis,
            );
            found.fail_on_panic = fail_traffic_on_panic;
            Ok(())
        }
    }
}

fn ours() -> [String; 5] {
    [
        RoundRobin::full_name(),
        least_request::LeastRequest::full_name(),
        Random::full_name(),
        RingHash::full_name(),
        Maglev::full_name(),
    ]
}
