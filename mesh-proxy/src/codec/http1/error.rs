//! What is wrong with a message.

use http::StatusCode;

/// A message that breaks HTTP/1.1, or a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.details())]
pub(crate) enum Malformed {
    /// It is no HTTP/1.1.
    Syntax,
    /// A head whose sender went before it was whole.
    Cut,
    /// A control character (RFC 9110, section 5.5).
    Characters,
    /// A target that the method does not have (RFC 9112, section 3.2).
    Url,
    /// An absolute target that is neither http nor https.
    Scheme,
    /// A host that is none (RFC 9110, section 7.2), or more than one (RFC 9112, section 3.2).
    Authority,
    /// Not HTTP/1.1.
    Version,
    /// Both say where the body ends, and a peer may believe the other one (RFC 9112,
    /// section 6.3).
    LengthAndChunks,
    /// Not only `chunked`.
    TransferEncoding,
    /// `Connection` takes away what it must not.
    Connection,
    TooLarge,
    TooMany,
    /// A head that did not come in time (`request_headers_timeout`).
    HeadTimeout,
    /// Nothing more of a head came (`stream_idle_timeout`).
    HeadIdle,
    /// `headers_with_underscores_action`: REJECT_REQUEST.
    Underscore,
}

impl Malformed {
    /// Envoy's response code details.
    pub(crate) fn details(self) -> &'static str {
        match self {
            Self::Syntax => "http1.codec_error",
            Self::Cut => "downstream_remote_disconnect",
            Self::Characters => "http1.invalid_characters",
            Self::Url => "http1.invalid_url",
            Self::Scheme => "http1.invalid_scheme",
            Self::Authority => "http.invalid_authority",
            Self::Version => "low_version",
            Self::LengthAndChunks => "http1.content_length_and_chunked_not_allowed",
            Self::TransferEncoding => "http1.invalid_transfer_encoding",
            Self::Connection => "http1.connection_header_rejected",
            Self::TooLarge => "http1.headers_too_large",
            Self::TooMany => "http1.too_many_headers",
            Self::HeadTimeout => "request_header_timeout",
            Self::HeadIdle => "stream_idle_timeout",
            Self::Underscore => "http1.unexpected_underscore",
        }
    }

    /// What a client is answered.
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Version => StatusCode::UPGRADE_REQUIRED,
            Self::TransferEncoding => StatusCode::NOT_IMPLEMENTED,
            Self::TooLarge | Self::TooMany => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::HeadTimeout | Self::HeadIdle => StatusCode::REQUEST_TIMEOUT,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
