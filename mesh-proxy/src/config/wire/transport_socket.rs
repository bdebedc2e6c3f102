//! `TransportSocket`, and which one an endpoint gets.

use std::sync::Arc;

use mesh_proto::any;
use mesh_proto::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer;
use mesh_proto::envoy::extensions::transport_sockets::tls::v3::{
    DownstreamTlsContext, UpstreamTlsContext,
};
use prost::Name as _;
use prost_types::value::Kind;
use prost_types::{Any, Struct};

use super::common::{decode, required_name, unknown_type};
use super::tls;
use crate::config::{
    DownstreamTls, Error, Labels, Name, Path, Transport, TransportMatch, Transports,
};

/// The key of an endpoint's metadata.
const METADATA: &str = "envoy.transport_socket_match";

/// The transport socket of a filter chain; `None` for plain text.
pub(super) fn of_filter_chain(
    path: &Path,
    socket: Option<core::TransportSocket>,
) -> Result<Option<Arc<DownstreamTls>>, Error> {
    let path = path.field("transport_socket");
    let Some((path, any)) = typed_config(&path, socket) else { return Ok(None) };
    match &any {
        Some(any) if any::is::<DownstreamTlsContext>(any) => {
            Ok(Some(Arc::new(tls::downstream(decode(&path, any)?, &path)?)))
        }
        Some(any) if any::is::<RawBuffer>(any) => {
            decode::<RawBuffer>(&path, any)?;
            Ok(None)
        }
        other => {
            let ours = [DownstreamTlsContext::full_name(), RawBuffer::full_name()];
            Err(unknown_type(&path, other.as_ref(), &ours))
        }
    }
}

/// The transport sockets of a cluster's endpoints.
pub(super) fn of_cluster(
    path: &Path,
    default: Option<core::TransportSocket>,
    matches: Vec<TransportSocketMatch>,
) -> Result<Transports, Error> {
    let mut found = Vec::with_capacity(matches.len());
    for (index, wire) in matches.into_iter().enumerate() {
        let path = path.field("transport_socket_matches").index(index);
        let TransportSocketMatch { name, r#match, transport_socket } = wire;
        let name = required_name(&path, "name", &name)?;
        let labels = wanted_labels(&path.field("match"), r#match)?;
        let transport = upstream(&path.field("transport_socket"), transport_socket)?;
        found.push(TransportMatch { name, labels, transport });
    }
    let default = upstream(&path.field("transport_socket"), default)?;
    Ok(Transports { default, matches: found })
}

fn upstream(path: &Path, socket: Option<core::TransportSocket>) -> Result<Transport, Error> {
    let Some((path, any)) = typed_config(path, socket) else { return Ok(Transport::RawBuffer) };
    match &any {
        Some(any) if any::is::<UpstreamTlsContext>(any) => {
            Ok(Transport::Tls(Arc::new(tls::upstream(decode(&path, any)?, &path)?)))
        }
        Some(any) if any::is::<RawBuffer>(any) => {
            decode::<RawBuffer>(&path, any)?;
            Ok(Transport::RawBuffer)
        }
        other => {
            let ours = [UpstreamTlsContext::full_name(), RawBuffer::full_name()];
            Err(unknown_type(&path, other.as_ref(), &ours))
        }
    }
}

/// The configuration of a socket, with its path. "envoy.transport_sockets.raw_buffer" may
/// stand without one.
fn typed_config(path: &Path, socket: Option<core::TransportSocket>) -> Option<(Path, Option<Any>)> {
    let core::TransportSocket { name, config_type } = socket?;
    let any = config_type.map(|core::transport_socket::ConfigType::TypedConfig(any)| any);
    if any.is_none() && name == "envoy.transport_sockets.raw_buffer" {
        return None;
    }
    Some((path.field("typed_config"), any))
}

/// What a match asks for: texts, as nobody compares others.
fn wanted_labels(path: &Path, fields: Option<Struct>) -> Result<Labels, Error> {
    let mut labels = Labels::default();
    for (key, value) in fields.unwrap_or_default().fields {
        match value.kind {
            Some(Kind::StringValue(text)) => _ = labels.insert(key.into(), text.into()),
            _ => return Err(path.field(&key).error("expected a string")),
        }
    }
    Ok(labels)
}

/// What an endpoint says of itself for the matches. A value that is no text matches nothing.
pub(super) fn endpoint_labels(metadata: Option<core::Metadata>) -> Labels {
    let metadata = metadata.and_then(|mut metadata| metadata.filter_metadata.remove(METADATA));
    let label = |(key, value): (String, prost_types::Value)| match value.kind {
        Some(Kind::StringValue(text)) => Some((Name::from(key), Name::from(text))),
        _ => None,
    };
    metadata.unwrap_or_default().fields.into_iter().filter_map(label).collect()
}
