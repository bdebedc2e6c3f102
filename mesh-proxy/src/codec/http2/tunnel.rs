//! Other protocols inside HTTP/2 streams (RFC 8441): to the rest of the proxy they look like
//! HTTP/1's upgrades, as in Envoy.

use h2::ext::Protocol;
use http::header::{CONNECTION, UPGRADE};
use http::{Extensions, HeaderMap, HeaderValue, Method, StatusCode, request, response};

/// Makes an upgrade out of an extended CONNECT; `false` when it is none.
pub(super) fn to_upgrade(head: &mut request::Parts) -> bool {
    let Some(protocol) = head.extensions.remove::<Protocol>() else { return false };
    let Ok(protocol) = HeaderValue::from_str(protocol.as_str()) else { return false };
    head.method = Method::GET;
    head.headers.insert(UPGRADE, protocol);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    true
}

/// Makes the answer to an extended CONNECT out of that to an upgrade.
pub(super) fn from_switched(head: &mut response::Parts) {
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        head.status = StatusCode::OK;
        head.headers.remove(UPGRADE);
        head.headers.remove(CONNECTION);
    }
}

/// The protocol that an upgrade asks for, taken from it: it is asked for by an extended
/// CONNECT.
pub(super) fn take_upgrade(headers: &mut HeaderMap, extensions: &mut Extensions) -> bool {
    let Some(protocol) = headers.remove(UPGRADE) else { return false };
    headers.remove(CONNECTION);
    match protocol.to_str() {
        Ok(protocol) => _ = extensions.insert(Protocol::from(protocol)),
        Err(_) => return false,
    }
    true
}

/// Makes the answer to an upgrade out of that to an extended CONNECT.
pub(super) fn to_switched(head: &mut response::Parts, protocol: &HeaderValue) {
    if head.status.is_success() {
        head.status = StatusCode::SWITCHING_PROTOCOLS;
        head.headers.insert(UPGRADE, protocol.clone());
        head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}
