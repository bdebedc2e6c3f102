//! What marks gRPC, its statuses and its times ("gRPC over HTTP2", the protocol's description).

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

/// The most that the eight digits of a time tell.
const MAX_NUMBER: u128 = 99_999_999;

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

/// UNKNOWN.
pub(crate) const UNKNOWN: u64 = 2;

/// Whether a message with these headers is gRPC's: its content type is `application/grpc`,
/// alone or with `+` and an encoding, as Envoy has it.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| {
        let rest = value.as_bytes().strip_prefix(b"application/grpc");
        rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
    })
}

/// What a request's `grpc-timeout` says; `None` when it has none that makes sense.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = number.len() <= 8 && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = number.parse().ok().filter(|_| is_number)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A time as the value of `grpc-timeout`, in milliseconds if they fit.
pub(crate) fn grpc_timeout_value(timeout: Duration) -> HeaderValue {
    let millis = timeout.as_millis();
    let units = [(millis, 'm'), (millis / 1000, 'S'), (millis / 60_000, 'M')];
    let fitting = units.into_iter().find(|(number, _)| *number <= MAX_NUMBER);
    let (number, unit) = fitting.unwrap_or(((millis / 3_600_000).min(MAX_NUMBER), 'H'));
    HeaderValue::try_from(format!("{number}{unit}")).unwrap_or(HeaderValue::from_static("0m"))
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

    #[test]
    fn times_are_read_and_written() {
        let name = http::HeaderName::from_static("grpc-timeout");
        for (text, expected) in [
            ("5S", Some(Duration::from_secs(5))),
            ("250m", Some(Duration::from_millis(250))),
            ("99999999H", Some(Duration::from_secs(99_999_999 * 3600))),
            ("1u", Some(Duration::from_micros(1))),
            ("100000000m", None),
            ("S", None),
            ("", None),
            ("-1S", None),
            ("1s", None),
        ] {
            let value = HeaderValue::from_static(text);
            let found = grpc_timeout(&HeaderMap::from_iter([(name.clone(), value)]));
            assert_eq!(found, expected, "{text}");
        }
        for (seconds, expected) in [
            (60, "60000m"),
            (100_000, "100000S"),
            (100_000_000, "1666666M"),
            (6_000_000_000, "1666666H"),
        ] {
            assert_eq!(grpc_timeout_value(Duration::from_secs(seconds)), expected);
        }
    }
}
