//! Regular expressions.

use std::fmt;

use ::regex::bytes;

/// Envoy's `RegexMatcher`: an expression that must match the whole of a text. Two are the same
/// when they are written the same.
#[derive(Clone)]
pub(crate) struct Regex {
    text: Box<str>,
    whole: bytes::Regex,
}

impl Regex {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(text: &str) -> Result<Self, mesh_regex::Error> {
        Ok(Self { text: text.into(), whole: mesh_regex::whole(text)? })
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
