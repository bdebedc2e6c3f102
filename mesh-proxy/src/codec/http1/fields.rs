//! Header fields, of heads and of trailers (RFC 9112, section 5).

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use memchr::memchr;

use super::spelling::Spelling;
use super::{Malformed, scan};

/// The fields of a block that [`scan::Scan`] found to be whole. At most `most` of them;
/// `spelling` is told how each name is written.
pub(super) fn parse(
    block: &Bytes,
    most: usize,
    mut spelling: Option<&mut Spelling>,
) -> Result<HeaderMap, Malformed> {
    let mut headers = HeaderMap::new();
    let mut at = 0;
    let mut count = 0;
    while let Some((line, length)) = scan::line(block.get(at..).unwrap_or_default()) {
        if line.is_empty() {
            break;
        }
        count += 1;
        if count > most {
            return Err(Malformed::TooMany);
        }
        let colon = memchr(b':', line).ok_or(Malformed::Syntax)?;
        let (name, value) = line.split_at(colon);
        let parsed = header_name(name)?;
        let value = trimmed(value.get(1..).unwrap_or_default());
        let value = HeaderValue::from_maybe_shared(block.slice_ref(value))
            .map_err(|_| Malformed::Characters)?;
        if let Some(spelling) = &mut spelling {
            spelling.note(&parsed, block.slice_ref(name));
        }
        headers.append(parsed, value);
        at += length;
    }
    Ok(headers)
}

/// A line that begins with a blank continues the one before it (`obs-fold`), which nobody
/// may send any more; a blank before the colon is as bad (section 5.1). Neither is a name.
fn header_name(name: &[u8]) -> Result<HeaderName, Malformed> {
    HeaderName::from_bytes(name).map_err(|_| match memchr(0, name) {
        Some(_) => Malformed::Characters,
        None => Malformed::Syntax,
    })
}

/// Without the optional blanks around it.
fn trimmed(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(block: &str) -> Result<HeaderMap, Malformed> {
        parse(&Bytes::copy_from_slice(block.as_bytes()), 3, None)
    }

    #[test]
    fn fields_are_taken_apart() {
        let headers = parsed("A: b\r\nc:\td e \r\nA:\r\n\r\n").unwrap();
        assert_eq!(headers.get_all("a").iter().collect::<Vec<_>>(), ["b", ""]);
        assert_eq!(headers["c"], "d e");
        assert_eq!(parsed("\r\n").unwrap().len(), 0);
    }

    #[test]
    fn what_is_no_field_is_refused() {
        for (block, error) in [
            ("a b: c\r\n\r\n", Malformed::Syntax),
            ("a : c\r\n\r\n", Malformed::Syntax),
            ("a: b\r\n c\r\n\r\n", Malformed::Syntax),
            (": c\r\n\r\n", Malformed::Syntax),
            ("a\r\n\r\n", Malformed::Syntax),
            ("a(: c\r\n\r\n", Malformed::Syntax),
            ("a\0: c\r\n\r\n", Malformed::Characters),
            ("a: \0\r\n\r\n", Malformed::Characters),
            ("a: b\rc\r\n\r\n", Malformed::Characters),
            ("a: \x7f\r\n\r\n", Malformed::Characters),
            ("a: 1\r\na: 2\r\na: 3\r\na: 4\r\n\r\n", Malformed::TooMany),
        ] {
            assert_eq!(parsed(block).unwrap_err(), error, "{block:?}");
        }
    }
}
