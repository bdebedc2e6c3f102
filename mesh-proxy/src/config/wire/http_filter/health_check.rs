//! `HealthCheck`.

use std::collections::BTreeMap;

use mesh_proto::envoy::extensions::filters::http::health_check::v3 as proto;
use mesh_proto::envoy::r#type::v3::Percent;

use crate::config::wire::common::{required, timeout};
use crate::config::wire::route_match::header_matches;
use crate::config::{Error, HealthCheckFilter, HealthCheckMode, Name, Path};

/// Envoy's `HealthCheck`.
pub(super) fn health_check(
    path: &Path,
    wire: proto::HealthCheck,
) -> Result<HealthCheckFilter, Error> {
    let proto::HealthCheck {
        pass_through_mode,
        cache_time,
        cluster_min_healthy_percentages,
        headers,
    } = wire;
    let cache = timeout(path, "cache_time", cache_time, None)?;
    let clusters =
        clusters(&path.field("cluster_min_healthy_percentages"), cluster_min_healthy_percentages)?;
    let mode = match required(path, "pass_through_mode", pass_through_mode)? {
        true if !clusters.is_empty() => {
            let path = path.field("cluster_min_healthy_percentages");
            return Err(path.error("has no effect with pass_through_mode: true; remove one"));
        }
        true => HealthCheckMode::PassThrough { cache },
        false if cache.is_some() => {
            let message = "has no effect with pass_through_mode: false; remove one";
            return Err(path.field("cache_time").error(message));
        }
        false => HealthCheckMode::Own { clusters },
    };
    Ok(HealthCheckFilter { mode, headers: header_matches(&path.field("headers"), headers)? })
}

/// In whole percent, as Envoy cuts them.
fn clusters(path: &Path, wire: BTreeMap<String, Percent>) -> Result<Vec<(Name, u64)>, Error> {
    let cluster = |(name, Percent { value }): (String, Percent)| {
        if !(0.0..=100.0).contains(&value) {
            return Err(path.key(&name).error(format!("found {value}, expected 0 to 100")));
        }
        Ok((name.into(), value as u64))
    };
    wire.into_iter().map(cluster).collect()
}
