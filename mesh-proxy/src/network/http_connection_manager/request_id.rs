//! x-request-id: a random UUID (RFC 9562, version 4).

use http::HeaderValue;

use crate::random;

/// A new id.
pub(super) fn new() -> HeaderValue {
    HeaderValue::from_bytes(&random::uuid()).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_uuid_of_version_4() {
        let id = new();
        let text = id.to_str().unwrap();
        assert_eq!(text.len(), 36);
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(&text[14..15], "4");
        assert!("89ab".contains(&text[19..20]));
        assert_ne!(new(), id);
    }
}
