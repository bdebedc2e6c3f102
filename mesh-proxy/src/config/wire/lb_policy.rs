//! `lb_policy`, its settings, and the `load_balancing_policy` that takes their place.

use mesh_proto::any;
use mesh_proto::envoy::config::cluster::v3 as proto;
use mesh_proto::envoy::extensions::load_balancing_policies::{
    least_request::v3 as least_request, random::v3::Random, round_robin::v3::RoundRobin,
};
use prost::Name as _;
use prost_types::Any;

use super::common::{decode, enumeration, not_honoured, refuse_set, unknown_type};
use crate::config::{Error, LbPolicy, Path};

/// The policy of a cluster; `provided` for a cluster that chooses endpoints itself.
pub(super) fn lb_policy(
    path: &Path,
    provided: bool,
    policy: i32,
    settings: Option<proto::cluster::LbConfig>,
    extension: Option<proto::LoadBalancingPolicy>,
) -> Result<LbPolicy, Error> {
    use proto::cluster::LbPolicy as Wire;
    let wire: Wire = enumeration(path, "lb_policy", policy)?;
    // The extension wins over `lb_policy`, as in Envoy.
    if let Some(extension) = extension {
        return by_extension(&path.field("load_balancing_policy"), extension);
    }
    let path_of_policy = path.field("lb_policy");
    let policy = match wire {
        Wire::RoundRobin => LbPolicy::RoundRobin,
        Wire::LeastRequest => LbPolicy::LeastRequest { choice_count: 2 },
        Wire::Random => LbPolicy::Random,
        Wire::ClusterProvided => LbPolicy::ClusterProvided,
        Wire::RingHash | Wire::Maglev => {
            return Err(path_of_policy.error(format!(
                "found {}, expected ROUND_ROBIN, LEAST_REQUEST, RANDOM or CLUSTER_PROVIDED",
                wire.as_str_name()
            )));
        }
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
) -> Result<LbPolicy, Error> {
    use proto::cluster::LbConfig;
    match (policy, settings) {
        (policy, None) => Ok(policy),
        (LbPolicy::RoundRobin, Some(LbConfig::RoundRobinLbConfig(config))) => {
            let path = path.field("round_robin_lb_config");
            let proto::cluster::RoundRobinLbConfig { slow_start_config } = config;
            refuse_set!(&path, RoundRobinLbConfig, slow_start_config);
            Ok(policy)
        }
        (LbPolicy::LeastRequest { .. }, Some(LbConfig::LeastRequestLbConfig(config))) => {
            let path = path.field("least_request_lb_config");
            let proto::cluster::LeastRequestLbConfig {
                choice_count,
                active_request_bias,
                slow_start_config,
            } = config;
            refuse_set!(&path, LeastRequestLbConfig, active_request_bias, slow_start_config);
            least_request(&path, choice_count)
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
            Ok(policy)
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

/// The first policy that we have; Envoy skips those that it does not know.
fn by_extension(path: &Path, extension: proto::LoadBalancingPolicy) -> Result<LbPolicy, Error> {
    let path = path.field("policies");
    let mut refused = None;
    for (index, policy) in extension.policies.into_iter().enumerate() {
        let path = path.index(index).field("typed_extension_config").field("typed_config");
        let any = policy.typed_extension_config.and_then(|config| config.typed_config);
        match any.as_ref().map_or(Ok(None), |any| known(&path, any))? {
            Some(policy) => return Ok(policy),
            None => {
                refused.get_or_insert_with(|| unknown_type(&path, any.as_ref(), &ours()));
            }
        }
    }
    Err(refused.unwrap_or_else(|| path.error("found none, expected one or more")))
}

fn known(path: &Path, any: &Any) -> Result<Option<LbPolicy>, Error> {
    if any::is::<RoundRobin>(any) {
        let RoundRobin { slow_start_config, locality_lb_config } = decode(path, any)?;
        refuse_set!(path, RoundRobin, slow_start_config, locality_lb_config);
        return Ok(Some(LbPolicy::RoundRobin));
    }
    if any::is::<Random>(any) {
        let Random { locality_lb_config } = decode(path, any)?;
        refuse_set!(path, Random, locality_lb_config);
        return Ok(Some(LbPolicy::Random));
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
        let enable_full_scan = enable_full_scan == Some(true);
        refuse_set!(
            path,
            LeastRequest,
            active_request_bias,
            slow_start_config,
            locality_lb_config,
            enable_full_scan,
            selection_method,
        );
        return least_request(path, choice_count).map(Some);
    }
    Ok(None)
}

fn least_request(path: &Path, choice_count: Option<u32>) -> Result<LbPolicy, Error> {
    let choice_count = choice_count.unwrap_or(2);
    if choice_count < 2 {
        return Err(path
            .field("choice_count")
            .error(format!("found {choice_count}, expected 2 or more")));
    }
    Ok(LbPolicy::LeastRequest { choice_count })
}

fn ours() -> [String; 3] {
    [RoundRobin::full_name(), least_request::LeastRequest::full_name(), Random::full_name()]
}
