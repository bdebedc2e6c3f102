//! `CorsPolicy`.

use http::HeaderValue;
use mesh_proto::envoy::extensions::filters::http::cors::v3 as proto;

use crate::config::wire::fraction::runtime_fraction;
use crate::config::wire::header::header_value;
use crate::config::wire::route_match::string_match;
use crate::config::{CorsPolicy, Error, Path};

/// Envoy's `CorsPolicy`.
pub(super) fn policy(path: &Path, wire: proto::CorsPolicy) -> Result<CorsPolicy, Error> {
    let proto::CorsPolicy {
        allow_origin_string_match,
        allow_methods,
        allow_headers,
        expose_headers,
        max_age,
        allow_credentials,
        filter_enabled,
        shadow_enabled,
        allow_private_network_access,
        forward_not_matching_preflights,
    } = wire;
    let list = path.field("allow_origin_string_match");
    let origins = allow_origin_string_match.into_iter().enumerate();
    let origins = origins.map(|(index, origin)| string_match(origin, &list.index(index)));
    let share = |field: &str, wire: Option<_>| {
        wire.map(|wire| runtime_fraction(wire, &path.field(field))).transpose()
    };
    Ok(CorsPolicy {
        origins: origins.collect::<Result<_, _>>()?,
        allow_methods: value(path, "allow_methods", &allow_methods)?,
        allow_headers: value(path, "allow_headers", &allow_headers)?,
        expose_headers: value(path, "expose_headers", &expose_headers)?,
        max_age: value(path, "max_age", &max_age)?,
        allow_credentials,
        allow_private_network: allow_private_network_access,
        forward_not_matching: forward_not_matching_preflights,
        enabled: share("filter_enabled", filter_enabled)?,
        shadow: share("shadow_enabled", shadow_enabled)?,
    })
}

/// `None` for an empty one.
fn value(path: &Path, field: &str, text: &str) -> Result<Option<HeaderValue>, Error> {
    let value = header_value(&path.field(field), text)?;
    Ok((!value.is_empty()).then_some(value))
}
