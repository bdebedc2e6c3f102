//! How header names are written on the wire, where somebody cares.

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderName};

use crate::config::KeyFormat;

/// How the names of a message were written, and its reason phrase. Goes with the message's
/// extensions to where it is sent on.
#[derive(Clone, Debug, Default)]
pub(super) struct Spelling {
    names: HeaderMap<Bytes>,
    pub(super) reason: Option<Bytes>,
}

impl Spelling {
    /// Keeps how a name was written first.
    pub(super) fn note(&mut self, name: &HeaderName, written: Bytes) {
        self.names.entry(name).or_insert(written);
    }
}

/// Writes a name as the format has it.
pub(super) fn write(
    name: &HeaderName,
    format: KeyFormat,
    spelling: Option<&Spelling>,
    output: &mut BytesMut,
) {
    match format {
        KeyFormat::Lower => output.extend_from_slice(name.as_str().as_bytes()),
        KeyFormat::ProperWords => proper(name, output),
        KeyFormat::Preserve { proper_others, .. } => {
            match spelling.and_then(|spelling| spelling.names.get(name)) {
                Some(written) => output.extend_from_slice(written),
                None if proper_others => proper(name, output),
                None => output.extend_from_slice(name.as_str().as_bytes()),
            }
        }
    }
}

/// The first letter and each one behind something that is neither letter nor digit is a
/// capital (Envoy's `ProperCaseWords`).
fn proper(name: &HeaderName, output: &mut BytesMut) {
    let mut is_first = true;
    for byte in name.as_str().bytes() {
        output.put_u8(if is_first { byte.to_ascii_uppercase() } else { byte });
        is_first = !byte.is_ascii_alphanumeric();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &'static str, format: KeyFormat) -> String {
        let mut spelling = Spelling::default();
        spelling.note(&HeaderName::from_static("x-kept"), Bytes::from_static(b"X-kEPT"));
        spelling.note(&HeaderName::from_static("x-kept"), Bytes::from_static(b"x-KEPT"));
        let mut output = BytesMut::new();
        write(&HeaderName::from_static(name), format, Some(&spelling), &mut output);
        String::from_utf8(output.to_vec()).unwrap()
    }

    #[test]
    fn each_format_writes_its_own_way() {
        assert_eq!(written("x-kept", KeyFormat::Lower), "x-kept");
        assert_eq!(written("foo$b#$are-te", KeyFormat::ProperWords), "Foo$B#$Are-Te");
        let keep = |proper_others| KeyFormat::Preserve { proper_others, reason: false };
        assert_eq!(written("x-kept", keep(true)), "X-kEPT");
        assert_eq!(written("x-other", keep(false)), "x-other");
        assert_eq!(written("x-other", keep(true)), "X-Other");
    }
}
