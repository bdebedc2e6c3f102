//! Paths that mean the same, made the same, before anybody decides by them.

use http::Uri;
use http::request::Parts;
use http::uri::PathAndQuery;

use crate::codec::Fragment;
use crate::config::{EscapedSlashes, PathNormalisation};

/// What becomes of a request for its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The path is as it is to be.
    Take,
    /// 400: parties could understand it differently.
    Refuse,
    /// 307: the client is to ask for what the path has become.
    Redirect,
}

/// Brings the path into its normal form, in Envoy's order: escaped slashes, then dots and
/// escapes, then double slashes. The query stays as it came.
pub(super) fn normalise(head: &mut Parts, options: PathNormalisation) -> Verdict {
    if head.extensions.get::<Fragment>().is_some() {
        return Verdict::Refuse;
    }
    if options == PathNormalisation::default() {
        return Verdict::Take;
    }
    let path = head.uri.path();
    let mut verdict = Verdict::Take;
    let mut changed = None;
    if let Some(unescaped) = unescaped_slashes(path, options.escaped_slashes) {
        verdict = match options.escaped_slashes {
            EscapedSlashes::Keep | EscapedSlashes::UnescapeAndForward => Verdict::Take,
            EscapedSlashes::Reject => {
                // What is told of it is what was meant.
                let _ = replace(head, &unescaped);
                return Verdict::Refuse;
            }
            EscapedSlashes::UnescapeAndRedirect => Verdict::Redirect,
        };
        changed = Some(unescaped);
    }
    if options.normalize {
        let Some(canonical) = canonical(changed.as_deref().unwrap_or(path)) else {
            return Verdict::Refuse;
        };
        changed = Some(canonical);
    }
    if options.merge_slashes {
        changed = merged_slashes(changed.as_deref().unwrap_or(path)).or(changed);
    }
    match changed {
        Some(changed) if changed != path => match replace(head, &changed) {
            Some(()) => verdict,
            None => Verdict::Refuse,
        },
        _ => verdict,
    }
}

fn replace(head: &mut Parts, path: &str) -> Option<()> {
    let whole = match head.uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    head.uri = Uri::from(PathAndQuery::try_from(whole).ok()?);
    Some(())
}

/// `None` when there are none, or nobody asks.
fn unescaped_slashes(path: &str, action: EscapedSlashes) -> Option<String> {
    if action == EscapedSlashes::Keep || !path.contains('%') {
        return None;
    }
    let unescaped =
        path.replace("%2F", "/").replace("%2f", "/").replace("%5C", "\\").replace("%5c", "\\");
    (unescaped != path).then_some(unescaped)
}

/// RFC 3986, section 6.2.2, as Envoy's `normalize_path` has it: unreserved characters are not
/// escaped, others that no path may have are, a backslash is a slash, and dot segments are
/// gone. `None` for a path with an escaped NUL.
fn canonical(path: &str) -> Option<String> {
    let is_plain = |byte: u8| !needs_escape(byte) && !matches!(byte, b'%' | b'\\');
    if path.bytes().all(is_plain) && !path.contains("/.") {
        return Some(path.to_owned());
    }
    let mut plain = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (*first, escaped(behind)) {
            (b'%', Some(0)) => return None,
            (b'%', Some(byte)) if is_unreserved(byte) => {
                plain.push(char::from(byte));
                rest = behind.get(2..).unwrap_or_default();
            }
            (b'\\', _) => plain.push('/'),
            (byte, _) if needs_escape(byte) => plain.push_str(&format!("%{byte:02X}")),
            (byte, _) => plain.push(char::from(byte)),
        }
    }
    Some(without_dots(&plain))
}

/// The byte of the two digits behind a percent sign.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digits = digits.get(..2).filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn needs_escape(byte: u8) -> bool {
    !byte.is_ascii_graphic()
        || matches!(byte, b'"' | b'<' | b'>' | b'`' | b'{' | b'}' | b'|' | b'^')
}

/// RFC 3986, section 5.2.4.
fn without_dots(path: &str) -> String {
    let mut kept = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            segment => {
                kept.push(segment);
                continue;
            }
        }
        // What names a folder still does.
        if segments.peek().is_none() {
            kept.push("");
        }
    }
    format!("/{}", kept.join("/"))
}

/// `None` when there are none. A path of slashes alone stays, as in Envoy.
fn merged_slashes(path: &str) -> Option<String> {
    if !path.contains("//") || path.bytes().all(|byte| byte == b'/') {
        return None;
    }
    let segments: Vec<_> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let end = if path.ends_with('/') { "/" } else { "" };
    Some(format!("/{}{end}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(target: &str, options: PathNormalisation) -> (Verdict, String) {
        let (mut head, ()) = http::Request::get(target).body(()).unwrap().into_parts();
        let verdict = normalise(&mut head, options);
        (verdict, head.uri.to_string())
    }

    /// Each of these is what Envoy makes of it.
    #[test]
    fn paths_get_their_normal_form() {
        let options = PathNormalisation { normalize: true, ..PathNormalisation::default() };
        for (path, expected) in [
            ("/a/../b", "/b"),
            ("/a/./b/", "/a/b/"),
            ("/..", "/"),
            ("/../..", "/"),
            ("/a/%2e%2E/b", "/b"),
            ("//a//b", "//a//b"),
            ("/a//../b", "/a/b"),
            ("/%41%62%7e%2d", "/Ab~-"),
            ("/%zz", "/%zz"),
            ("/%4", "/%4"),
            ("/a\\b", "/a/b"),
            ("/a%5c..%5cb", "/a%5c..%5cb"),
            ("/a%2F..%2Fb", "/a%2F..%2Fb"),
            ("/{x}|^\"", "/%7Bx%7D%7C%5E%22"),
            ("/a?b=/../c%2f", "/a?b=/../c%2f"),
            ("/a;b/../c", "/c"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a.../.b/..c", "/a.../.b/..c"),
            ("/%e4%25", "/%e4%25"),
        ] {
            assert_eq!(normalised(path, options), (Verdict::Take, expected.to_owned()), "{path}");
        }
        assert_eq!(normalised("/a%00b", options).0, Verdict::Refuse);
    }

    #[test]
    fn slashes_are_merged() {
        let options = PathNormalisation { merge_slashes: true, ..PathNormalisation::default() };
        for (path, expected) in
            [("//a///b?x//y", "/a/b?x//y"), ("/a//", "/a/"), ("//", "//"), ("/a/../b", "/a/../b")]
        {
            assert_eq!(normalised(path, options), (Verdict::Take, expected.to_owned()), "{path}");
        }
    }

    #[test]
    fn escaped_slashes_are_what_is_asked_for() {
        let with = |escaped_slashes| PathNormalisation {
            escaped_slashes,
            normalize: escaped_slashes == EscapedSlashes::UnescapeAndRedirect,
            merge_slashes: escaped_slashes == EscapedSlashes::UnescapeAndRedirect,
        };
        let forward = with(EscapedSlashes::UnescapeAndForward);
        let taken = |path: &str| (Verdict::Take, path.to_owned());
        assert_eq!(normalised("/a%2fb%5Cc?x%2f", forward), taken("/a/b\\c?x%2f"));
        let redirect = with(EscapedSlashes::UnescapeAndRedirect);
        let elsewhere = (Verdict::Redirect, "/b/c".to_owned());
        assert_eq!(normalised("/a%2f..%2fb%5C%2fc", redirect), elsewhere);
        assert_eq!(normalised("/a/../b", redirect), taken("/b"));
        assert_eq!(normalised("/a%2Fb", with(EscapedSlashes::Reject)).0, Verdict::Refuse);
        assert_eq!(normalised("/a%2Fb", with(EscapedSlashes::Keep)), taken("/a%2Fb"));
    }
}
