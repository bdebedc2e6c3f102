//! `layered_runtime`: limits of connections, and what has no effect here.

use mesh_proto::envoy::config::bootstrap::v3 as proto;
use prost_types::value::Kind;

use super::common::not_honoured;
use crate::config::{ConnectionLimits, Error, Path};

/// Keys that guard Envoy's own code and nothing else.
const INERT_KEYS: [&str; 3] =
    ["envoy.reloadable_features.", "envoy.restart_features.", "re2.max_program_size."];

/// What is honoured.
const ALL: &str = "overload.global_downstream_max_connections";
const OF_LISTENER: (&str, &str) = ("envoy.resource_limits.listener.", ".connection_limit");

/// Takes the limits of connections, and refuses every layer that could change otherwise how
/// traffic is handled. A later layer wins.
pub(super) fn layered_runtime(
    path: &Path,
    runtime: Option<proto::LayeredRuntime>,
) -> Result<ConnectionLimits, Error> {
    use proto::runtime_layer::LayerSpecifier;
    let mut limits = ConnectionLimits::default();
    for (index, layer) in runtime.unwrap_or_default().layers.into_iter().enumerate() {
        let path = path.field("layers").index(index);
        let proto::RuntimeLayer { name: _, layer_specifier } = layer;
        match layer_specifier {
            Some(LayerSpecifier::AdminLayer(_)) | None => {}
            Some(LayerSpecifier::StaticLayer(keys)) => {
                static_layer(&path.field("static_layer"), "", keys, &mut limits)?;
            }
            Some(LayerSpecifier::DiskLayer(_)) => {
                return Err(not_honoured(&path.field("disk_layer")));
            }
            Some(LayerSpecifier::RtdsLayer(_)) => {
                return Err(not_honoured(&path.field("rtds_layer")));
            }
        }
    }
    Ok(limits)
}

/// Keys may be nested or have dots in them.
fn static_layer(
    path: &Path,
    prefix: &str,
    keys: prost_types::Struct,
    limits: &mut ConnectionLimits,
) -> Result<(), Error> {
    for (key, value) in keys.fields {
        let path = path.field(&key);
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        let listener = key.strip_prefix(OF_LISTENER.0).and_then(|k| k.strip_suffix(OF_LISTENER.1));
        match (value.kind, listener) {
            (Some(Kind::StructValue(inner)), _) => static_layer(&path, &key, inner, limits)?,
            _ if INERT_KEYS.iter().any(|inert| key.starts_with(inert)) => {}
            (kind, Some(name)) => _ = limits.of_listener.insert(name.into(), count(&path, kind)?),
            (kind, None) if key == ALL => limits.all = Some(count(&path, kind)?),
            _ => return Err(not_honoured(&path)),
        }
    }
    Ok(())
}

/// A whole number, which may be written as a text.
fn count(path: &Path, value: Option<Kind>) -> Result<u64, Error> {
    let number = match value {
        Some(Kind::NumberValue(number)) if number >= 0.0 && number.fract() == 0.0 => {
            Some(number as u64)
        }
        Some(Kind::StringValue(text)) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| path.error("expected a whole number"))
}
