//! What can go wrong with a request, by kind.

use std::io;

/// Why a request or a connection failed. The kind is a few fixed words, for counting.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("connecting: {0}")]
    Connect(#[source] io::Error),
    #[error("TLS handshake: {}", mesh_tls::explain(.0))]
    Handshake(#[source] io::Error),
    /// Of HTTP/2 or a WebSocket, before the first request.
    #[error("{0}: the connection's beginning: {1}")]
    Begin(&'static str, String),
    /// It was sent, and not a byte came back.
    #[error("{0}: closed without an answer: {1}")]
    NoAnswer(&'static str, String),
    #[error("{0}: cut in the middle: {1}")]
    Cut(&'static str, String),
    #[error("{0}: status {1}: {2}")]
    Status(&'static str, u16, String),
    #[error("{0}: {1}")]
    Wrong(&'static str, String),
    #[error("nothing for 10 s")]
    Timeout,
}

impl Failure {
    pub(crate) fn kind(&self) -> String {
        let words = match self {
            Self::Connect(error) => match error.kind() {
                io::ErrorKind::ConnectionRefused => "connection refused",
                io::ErrorKind::ConnectionReset => "connection reset",
                _ => "no connection",
            },
            Self::Handshake(_) => "TLS handshake",
            Self::Begin(..) => "connection cut at its beginning",
            Self::NoAnswer(..) => "closed without an answer",
            Self::Cut(..) => "cut answer",
            Self::Status(_, status, _) => return format!("status {status}"),
            Self::Wrong(..) => "wrong answer",
            Self::Timeout => "timeout",
        };
        words.to_owned()
    }

    /// Whether it is what happens when the other end of the connection dies.
    pub(crate) fn is_lost_connection(&self) -> bool {
        match self {
            Self::Begin(..) | Self::NoAnswer(..) | Self::Cut(..) => true,
            // Its handshake was under way.
            Self::Handshake(error) => matches!(
                error.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
            ),
            Self::Connect(_) | Self::Status(..) | Self::Wrong(..) | Self::Timeout => false,
        }
    }
}
