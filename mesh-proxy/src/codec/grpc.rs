//! What marks gRPC ("gRPC over HTTP2", the protocol's description).

use http::HeaderMap;
use http::header::CONTENT_TYPE;

/// Whether a message with these headers is gRPC's: its content type is `application/grpc`,
/// alone or with `+` and an encoding, as Envoy has it.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn grpc_web_is_something_else() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/grpc;a=b", false),
            ("text/plain", false),
        ] {
            let value = HeaderValue::from_static(content_type);
            assert_eq!(is_grpc(&HeaderMap::from_iter([(CONTENT_TYPE, value)])), expected);
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }
}
