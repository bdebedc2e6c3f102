//! What the connection manager does with x-forwarded-client-cert.

use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use proto::http_connection_manager as parts;

use super::common::{enumeration, refuse_set};
use crate::config::{ClientCertDetails, ClientCertForwarding, ClientCertMode, Error, Path};

/// `forward_client_cert_details` and `set_current_client_cert_details`.
pub(super) fn client_cert(
    path: &Path,
    mode: i32,
    details: Option<parts::SetCurrentClientCertDetails>,
) -> Result<ClientCertForwarding, Error> {
    use parts::ForwardClientCertDetails as Mode;
    let mode = match enumeration(path, "forward_client_cert_details", mode)? {
        Mode::Sanitize => ClientCertMode::Sanitize,
        Mode::ForwardOnly => ClientCertMode::ForwardOnly,
        Mode::AppendForward => ClientCertMode::AppendForward,
        Mode::SanitizeSet => ClientCertMode::SanitizeSet,
        Mode::AlwaysForwardOnly => ClientCertMode::AlwaysForwardOnly,
    };
    let Some(details) = details else {
        return Ok(ClientCertForwarding { mode, details: ClientCertDetails::default() });
    };
    let path = path.field("set_current_client_cert_details");
    let parts::SetCurrentClientCertDetails { subject, cert, chain, dns, uri, issuer, format } =
        details;
    refuse_set!(&path, SetCurrentClientCertDetails, cert, chain, issuer, format);
    let subject = subject == Some(true);
    Ok(ClientCertForwarding { mode, details: ClientCertDetails { subject, uri, dns } })
}
