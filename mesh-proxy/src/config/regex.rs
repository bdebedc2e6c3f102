//! Regular expressions, as Envoy has them.

mod re2;

use std::fmt;

use ::regex::bytes;

/// What one expression may need, compiled, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// Envoy's `RegexMatcher`: an expression in RE2's syntax that must match the whole of a text.
/// Two are the same when they are written the same.
#[derive(Clone)]
pub(crate) struct Regex {
    text: Box<str>,
    whole: bytes::Regex,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn new(text: &str) -> Result<Self, String> {
        let whole = compile(&format!(r"\A(?:{})\z", re2::translate(text)?))?;
        Ok(Self { text: text.into(), whole })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the whole of `value` is what the expression asks for. In linear time.
    pub(crate) fn matches(&self, value: &[u8]) -> bool {
        self.whole.is_match(value)
    }
}

/// Compiles an expression that may match a part of a text.
pub(super) fn compile_part(text: &str) -> Result<bytes::Regex, String> {
    compile(&re2::translate(text)?)
}

fn compile(translated: &str) -> Result<bytes::Regex, String> {
    let compiled = bytes::RegexBuilder::new(translated).size_limit(SIZE_LIMIT).build();
    compiled.map_err(|error| match error {
        ::regex::Error::CompiledTooBig(_) => {
            format!("needs more than {SIZE_LIMIT} bytes when it is compiled")
        }
        // Its last line says what is wrong, the others draw where.
        other => other.to_string().lines().last().unwrap_or_default().trim().to_owned(),
    })
}

impl PartialEq for Regex {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Regex {}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Regex({:?})", self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_the_whole_text() {
        let regex = Regex::new("/a|/b/[0-9]+").unwrap();
        for (path, expected) in [("/a", true), ("/b/12", true), ("/ab/1", false), ("/b/1x", false)]
        {
            assert_eq!(regex.matches(path.as_bytes()), expected, "{path}");
        }
        assert!(!Regex::new("a$").unwrap().matches(b"a\n"));
        assert!(!Regex::new("a.b").unwrap().matches(b"a\nb"));
    }

    #[test]
    fn says_what_is_wrong() {
        for (text, expected) in [
            ("a)(b", "unopened group"),
            ("(a", "unclosed group"),
            (r"(a)\1", "backreferences are not supported"),
            ("(?:a{1000}){1000}", "needs more than 1048576 bytes"),
        ] {
            let error = Regex::new(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
