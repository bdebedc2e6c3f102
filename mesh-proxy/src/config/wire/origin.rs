//! What a connection manager believes of where requests come from, and says of itself.

use std::net::IpAddr;

use http::HeaderValue;
use mesh_proto::any;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use mesh_proto::envoy::extensions::request_id::uuid::v3::UuidRequestIdConfig;
use prost::Name as _;
use proto::http_connection_manager::InternalAddressConfig;

use super::common::{refuse_set, unknown_type};
use super::filter_chain::ranges;
use crate::config::{Error, Path};

/// `internal_address_config`.
pub(super) fn internal_addresses(
    path: &Path,
    config: Option<InternalAddressConfig>,
) -> Result<Vec<(IpAddr, u8)>, Error> {
    let InternalAddressConfig { unix_sockets, cidr_ranges } = config.unwrap_or_default();
    refuse_set!(path, InternalAddressConfig, unix_sockets);
    ranges(&path.field("cidr_ranges"), cidr_ranges)
}

/// `scheme_header_transformation`.
pub(super) fn scheme(
    path: &Path,
    transformation: Option<core::SchemeHeaderTransformation>,
) -> Result<Option<&'static str>, Error> {
    use core::scheme_header_transformation::Transformation;
    let core::SchemeHeaderTransformation { match_upstream, transformation } =
        transformation.unwrap_or_default();
    refuse_set!(path, SchemeHeaderTransformation, match_upstream);
    let Some(Transformation::SchemeToOverwrite(scheme)) = transformation else { return Ok(None) };
    match &*scheme {
        "http" => Ok(Some("http")),
        "https" => Ok(Some("https")),
        _ => Err(path
            .field("scheme_to_overwrite")
            .error(format!("found {scheme:?}, expected \"http\" or \"https\""))),
    }
}

/// `via`.
pub(super) fn via(path: &Path, via: &str) -> Result<Option<HeaderValue>, Error> {
    if via.is_empty() {
        return Ok(None);
    }
    let value = HeaderValue::from_str(via);
    value.map(Some).map_err(|_| {
        path.field("via").error(format!("found {via:?}, expected the value of a header"))
    })
}

/// `request_id_extension`: a UUID, as ever. What it does besides is about tracing.
pub(super) fn uuid(path: &Path, extension: Option<proto::RequestIdExtension>) -> Result<(), Error> {
    let any = extension.and_then(|extension| extension.typed_config);
    match &any {
        None => Ok(()),
        Some(any) if any::is::<UuidRequestIdConfig>(any) => Ok(()),
        any => {
            let path = path.field("typed_config");
            Err(unknown_type(&path, any.as_ref(), &[UuidRequestIdConfig::full_name()]))
        }
    }
}
