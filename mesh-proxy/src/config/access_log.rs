//! Access logs.

use super::Format;

/// One log of a listener or a connection manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLog {
    pub(crate) target: LogTarget,
    pub(crate) format: LogFormat,
    /// `omit_empty_values`: what is not known is not written.
    pub(crate) omit_empty: bool,
}

/// Where the lines go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LogTarget {
    Stdout,
    Stderr,
    File(std::path::PathBuf),
}

/// What a line holds: text, and Envoy's command operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Envoy's default format or `text_format_source.inline_string`.
    Text(Format),
    /// `json_format`: keys in alphabetical order.
    Json(Vec<(String, JsonValue)>),
}

/// A value of `json_format`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum JsonValue {
    /// Keeps its type when it is one operator.
    Text(Format),
    Object(Vec<(String, JsonValue)>),
    List(Vec<JsonValue>),
    /// A number, true, false or null, as it is written.
    Literal(String),
}
