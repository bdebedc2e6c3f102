//! What is wrong with a configuration, and where.

use std::fmt;

/// A field that was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub(crate) struct Error {
    /// The field's path from the message's root.
    pub(crate) path: Path,
    /// What was found and what was expected.
    pub(crate) message: String,
}

/// The path to a field: `static_resources.listeners[0].filter_chains[2]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Path(String);

impl Path {
    /// The path of a field of this message.
    pub(crate) fn field(&self, name: &str) -> Self {
        if self.0.is_empty() { Self(name.to_owned()) } else { Self(format!("{}.{name}", self.0)) }
    }

    /// The path of an element of this list.
    pub(crate) fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0))
    }

    /// The path of an entry of this map.
    pub(crate) fn key(&self, key: &str) -> Self {
        Self(format!("{}[{key:?}]", self.0))
    }

    /// Refuses what is at this path.
    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error { path: self.clone(), message: message.into() }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "(the whole message)" } else { &self.0 })
    }
}
