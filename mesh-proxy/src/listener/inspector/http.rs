//! The listener filter `http_inspector`: tells HTTP and its version.

use super::Verdict;

/// An HTTP/2 connection begins with this (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A request line that is longer is not looked at to its end.
pub(super) const PEEK: usize = 8192;

/// The application protocol by Envoy's names: "http/1.0", "http/1.1" or "h2c"; `None` for
/// anything else. More than [`PEEK`] bytes are not asked for.
pub(super) fn inspect(bytes: &[u8]) -> Verdict<Option<&'static str>> {
    if bytes.starts_with(PREFACE) {
        return Verdict::Done(Some("h2c"));
    }
    if PREFACE.starts_with(bytes) {
        return Verdict::NeedMore;
    }
    let method = bytes.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-');
    let method = method.count();
    match bytes.get(method) {
        // The longest registered method has 17 letters.
        None if method <= 17 => return Verdict::NeedMore,
        Some(b' ') if (3..=17).contains(&method) => {}
        _ => return Verdict::Done(None),
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() < PEEK { Verdict::NeedMore } else { Verdict::Done(None) };
    };
    match bytes[..end].trim_ascii_end() {
        line if line.ends_with(b" HTTP/1.1") => Verdict::Done(Some("http/1.1")),
        line if line.ends_with(b" HTTP/1.0") => Verdict::Done(Some("http/1.0")),
        _ => Verdict::Done(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_http_from_the_rest() {
        for (bytes, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n", Verdict::Done(Some("http/1.1"))),
            ("M-SEARCH * HTTP/1.0\n", Verdict::Done(Some("http/1.0"))),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0", Verdict::Done(Some("h2c"))),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n", Verdict::NeedMore),
            ("G", Verdict::NeedMore),
            ("GET /somewhere", Verdict::NeedMore),
            ("GET /\r\n", Verdict::Done(None)),
            ("get / HTTP/1.1\r\n", Verdict::Done(None)),
            ("\x16\x03\x01\x02\0", Verdict::Done(None)),
            ("SSH-2.0-OpenSSH\r\n", Verdict::Done(None)),
            ("ABCDEFGHIJKLMNOPQRSTUVW", Verdict::Done(None)),
        ] {
            assert_eq!(inspect(bytes.as_bytes()), expected, "{bytes:?}");
        }
    }
}
