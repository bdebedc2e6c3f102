//! Access logs.

use super::{Format, Fraction, HeaderMatch};

/// One log of a listener or a connection manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AccessLog {
    pub(crate) target: LogTarget,
    pub(crate) format: LogFormat,
    /// `omit_empty_values`: what is not known is not written.
    pub(crate) omit_empty: bool,
    /// Which records are logged; all without one.
    pub(crate) filter: Option<LogFilter>,
}

/// Envoy's `AccessLogFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFilter {
    /// `status_code_filter`.
    Status(Compare, u64),
    /// `duration_filter`, in milliseconds.
    Duration(Compare, u64),
    NotHealthCheck,
    /// `runtime_filter`: a share of the requests, by their ids, or whatever these are.
    Share {
        share: Fraction,
        independent: bool,
    },
    All(Vec<LogFilter>),
    Any(Vec<LogFilter>),
    Header(HeaderMatch),
    /// `response_flag_filter`: one of these; any when there is none.
    Flags(Vec<String>),
    /// `grpc_status_filter`: one of these, or another one.
    Grpc {
        statuses: Vec<u64>,
        exclude: bool,
    },
}

/// `ComparisonFilter.Op`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compare {
    Equal,
    NotEqual,
    GreaterOrEqual,
    LessOrEqual,
}

impl Compare {
    /// Whether it holds between the two.
    pub(crate) fn holds(self, value: u64, than: u64) -> bool {
        match self {
            Self::Equal => value == than,
            Self::NotEqual => value != than,
            Self::GreaterOrEqual => value >= than,
            Self::LessOrEqual => value <= than,
        }
    }
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
