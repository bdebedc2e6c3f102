//! x-request-id: a random UUID (RFC 9562, version 4).

use http::HeaderValue;

use crate::random;

/// A new id.
pub(super) fn new() -> HeaderValue {
    let (high, low) = (random::next(), random::next());
    let high = (high & !0xf000) | 0x4000;
    let low = (low & !(0b11 << 62)) | (0b10 << 62);
    let mut text = [b'-'; 36];
    let mut nibbles =
        (0..16).rev().map(|n| high >> (4 * n)).chain((0..16).rev().map(|n| low >> (4 * n)));
    for (at, place) in text.iter_mut().enumerate() {
        if !matches!(at, 8 | 13 | 18 | 23)
            && let Some(nibble) = nibbles.next()
        {
            *place = b"0123456789abcdef"[(nibble & 0xf) as usize];
        }
    }
    HeaderValue::from_bytes(&text).unwrap_or(HeaderValue::from_static(""))
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
