//! `layered_runtime`: only what has no effect here.

use mesh_proto::envoy::config::bootstrap::v3 as proto;
use prost_types::value::Kind;

use super::common::not_honoured;
use crate::config::{Error, Path};

/// Keys that guard Envoy's own code and nothing else.
const INERT_KEYS: [&str; 3] =
    ["envoy.reloadable_features.", "envoy.restart_features.", "re2.max_program_size."];

/// Refuses every layer that could change how traffic is handled.
pub(super) fn layered_runtime(
    path: &Path,
    runtime: Option<proto::LayeredRuntime>,
) -> Result<(), Error> {
    use proto::runtime_layer::LayerSpecifier;
    for (index, layer) in runtime.unwrap_or_default().layers.into_iter().enumerate() {
        let path = path.field("layers").index(index);
        let proto::RuntimeLayer { name: _, layer_specifier } = layer;
        match layer_specifier {
            Some(LayerSpecifier::AdminLayer(_)) | None => {}
            Some(LayerSpecifier::StaticLayer(keys)) => {
                static_layer(&path.field("static_layer"), "", keys)?;
            }
            Some(LayerSpecifier::DiskLayer(_)) => {
                return Err(not_honoured(&path.field("disk_layer")));
            }
            Some(LayerSpecifier::RtdsLayer(_)) => {
                return Err(not_honoured(&path.field("rtds_layer")));
            }
        }
    }
    Ok(())
}

/// Keys may be nested or have dots in them.
fn static_layer(path: &Path, prefix: &str, keys: prost_types::Struct) -> Result<(), Error> {
    for (key, value) in keys.fields {
        let path = path.field(&key);
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value.kind {
            Some(Kind::StructValue(inner)) => static_layer(&path, &key, inner)?,
            _ if INERT_KEYS.iter().any(|inert| key.starts_with(inert)) => {}
            _ => return Err(not_honoured(&path)),
        }
    }
    Ok(())
}
