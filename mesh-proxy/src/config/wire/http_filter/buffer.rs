//! `Buffer`.

use std::num::NonZeroU64;

use mesh_proto::envoy::extensions::filters::http::buffer::v3 as proto;

use crate::config::wire::common::required;
use crate::config::{Buffer, Error, FilterOverride, Path};

/// Envoy's `Buffer`.
pub(super) fn buffer(path: &Path, wire: proto::Buffer) -> Result<Buffer, Error> {
    let proto::Buffer { max_request_bytes } = wire;
    let max = required(path, "max_request_bytes", max_request_bytes)?;
    let max = NonZeroU64::new(max.into());
    let max = max.ok_or_else(|| path.field("max_request_bytes").error("found 0, expected more"))?;
    Ok(Buffer { max })
}

/// Envoy's `BufferPerRoute`.
pub(super) fn per_route(path: &Path, wire: proto::BufferPerRoute) -> Result<FilterOverride, Error> {
    use proto::buffer_per_route::Override;
    match wire.r#override {
        Some(Override::Disabled(true)) => Ok(FilterOverride::Disabled),
        Some(Override::Disabled(false)) => {
            Err(path.field("disabled").error("found false, expected true"))
        }
        Some(Override::Buffer(wire)) => {
            Ok(FilterOverride::Buffer(buffer(&path.field("buffer"), wire)?))
        }
        None => Err(path.error("missing: expected disabled or buffer")),
    }
}
