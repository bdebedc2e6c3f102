//! What marks gRPC, and its statuses ("gRPC over HTTP2", the protocol's description).

use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};

/// The names of the statuses from 0 on, as Envoy writes them.
const NAMES: [(&str, &str); 17] = [
    ("OK", "OK"),
    ("Canceled", "CANCELLED"),
    ("Unknown", "UNKNOWN"),
    ("InvalidArgument", "INVALID_ARGUMENT"),
    ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
    ("NotFound", "NOT_FOUND"),
    ("AlreadyExists", "ALREADY_EXISTS"),
    ("PermissionDenied", "PERMISSION_DENIED"),
    ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
    ("FailedPrecondition", "FAILED_PRECONDITION"),
    ("Aborted", "ABORTED"),
    ("OutOfRange", "OUT_OF_RANGE"),
    ("Unimplemented", "UNIMPLEMENTED"),
    ("Internal", "INTERNAL"),
    ("Unavailable", "UNAVAILABLE"),
    ("DataLoss", "DATA_LOSS"),
    ("Unauthenticated", "UNAUTHENTICATED"),
];

/// Whether a message with these headers is gRPC's: its content type is `application/grpc`,
/// alone or with `+` and an encoding, as Envoy has it.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
    })
}

/// gRPC's "HTTP to gRPC Status Code Mapping".
pub(crate) fn status_for(status: StatusCode) -> u16 {
    match status.as_u16() {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// "InvalidArgument"; `None` for a status that there is not.
pub(crate) fn name(status: u64) -> Option<&'static str> {
    NAMES.get(usize::try_from(status).ok()?).map(|names| names.0)
}

/// "INVALID_ARGUMENT".
pub(crate) fn snake_name(status: u64) -> Option<&'static str> {
    NAMES.get(usize::try_from(status).ok()?).map(|names| names.1)
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
