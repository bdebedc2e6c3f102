//! `RequestMirrorPolicy`.

use mesh_proto::envoy::config::route::v3::route_action::RequestMirrorPolicy;

use super::common::{refuse_set, required_name};
use super::fraction::runtime_fraction;
use super::header::name_of_header;
use super::route_action::literal_host;
use crate::config::{ClusterName, Error, Mirror, MirrorHost, Path};

/// Envoy's `RequestMirrorPolicy`s of a route, a virtual host or a table; without any, those
/// that are inherited.
pub(super) fn mirrors(
    path: &Path,
    wire: Vec<RequestMirrorPolicy>,
    inherited: &[Mirror],
) -> Result<Vec<Mirror>, Error> {
    if wire.is_empty() {
        return Ok(inherited.to_vec());
    }
    let path = path.field("request_mirror_policies");
    let one = |(index, policy)| mirror(policy, &path.index(index));
    wire.into_iter().enumerate().map(one).collect()
}

fn mirror(wire: RequestMirrorPolicy, path: &Path) -> Result<Mirror, Error> {
    let RequestMirrorPolicy {
        cluster,
        cluster_header,
        runtime_fraction: fraction,
        trace_sampled,
        disable_shadow_host_suffix_append,
        request_headers_mutations,
        host_rewrite_literal,
    } = wire;
    refuse_set!(path, RequestMirrorPolicy, trace_sampled, request_headers_mutations);
    let cluster = match (cluster.is_empty(), cluster_header.is_empty()) {
        (true, false) => {
            let path = path.field("cluster_header");
            ClusterName::Header(name_of_header(&path, &cluster_header)?)
        }
        (false, false) => {
            return Err(path.error("has both cluster and cluster_header, expected one"));
        }
        (_, true) => ClusterName::Fixed(required_name(path, "cluster", &cluster)?),
    };
    let fraction = fraction
        .map(|fraction| runtime_fraction(fraction, &path.field("runtime_fraction")))
        .transpose()?;
    let host = match literal_host(path, &host_rewrite_literal)? {
        Some(host) => MirrorHost::Literal(host),
        None if disable_shadow_host_suffix_append => MirrorHost::Same,
        None => MirrorHost::Suffixed,
    };
    Ok(Mirror { cluster, fraction, host })
}
