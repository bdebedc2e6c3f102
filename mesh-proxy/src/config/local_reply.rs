//! What becomes of the answers that the proxy itself makes.

use std::sync::Arc;

use ::http::{HeaderValue, StatusCode};
use bytes::Bytes;

use super::{HeaderChanges, LogFilter, LogFormat};

/// Envoy's `LocalReplyConfig`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LocalReplyConfig {
    /// The first whose filter takes an answer changes it.
    pub(crate) mappers: Vec<ResponseMapper>,
    /// `body_format`, of what no mapper has a format for.
    pub(crate) format: Option<ReplyFormat>,
}

/// Envoy's `ResponseMapper`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ResponseMapper {
    pub(crate) filter: LogFilter,
    /// `status_code`
    pub(crate) status: Option<StatusCode>,
    pub(crate) body: Option<Bytes>,
    /// `body_format_override`
    pub(crate) format: Option<ReplyFormat>,
    /// `headers_to_add`
    pub(crate) headers: Arc<HeaderChanges>,
}

/// How a body is written; `%LOCAL_REPLY_BODY%` is what it would be otherwise.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReplyFormat {
    pub(crate) content_type: HeaderValue,
    pub(crate) format: LogFormat,
    /// `omit_empty_values`
    pub(crate) omit_empty: bool,
}
