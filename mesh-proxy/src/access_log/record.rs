//! What an access log can tell.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::Flags;
use crate::transport::tls::ConnectionInfo;

/// One request, or one connection of a TCP proxy, at its end. What is not known is `None`.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// When the request's first byte, or the connection, came.
    pub(crate) start: SystemTime,
    /// From then to the last byte of the response, or the connection's end.
    pub(crate) duration: Duration,
    pub(crate) request: Option<Request<'a>>,
    pub(crate) response_headers: Option<&'a HeaderMap>,
    /// The status; 0 when no response was sent.
    pub(crate) response_code: u16,
    /// Envoy's `via_upstream`, `route_not_found` and the like.
    pub(crate) response_code_details: Option<&'a str>,
    pub(crate) flags: Flags,
    /// Bytes of the bodies, or of the connection.
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) upstream_host: Option<SocketAddr>,
    pub(crate) upstream_cluster: Option<&'a str>,
    /// The proxy's own address towards the upstream.
    pub(crate) upstream_local: Option<SocketAddr>,
    pub(crate) downstream_remote: SocketAddr,
    pub(crate) downstream_local: SocketAddr,
    /// The client's TLS; `None` on a plain connection.
    pub(crate) downstream_tls: Option<&'a ConnectionInfo>,
    /// Why the client's handshake failed.
    pub(crate) downstream_failure: Option<&'a str>,
    /// Why that with the upstream failed.
    pub(crate) upstream_failure: Option<&'a str>,
    /// SNI.
    pub(crate) server_name: Option<&'a str>,
    pub(crate) route_name: Option<&'a str>,
}

/// The request of a [`Record`], as it was forwarded.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'a str,
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    /// With its query.
    pub(crate) path: &'a str,
    /// "HTTP/1.1", "HTTP/2".
    pub(crate) protocol: &'static str,
    pub(crate) headers: &'a HeaderMap,
}

impl<'a> Record<'a> {
    /// A record with nothing but who spoke to whom.
    pub(crate) fn new(start: SystemTime, remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            start,
            duration: Duration::ZERO,
            request: None,
            response_headers: None,
            response_code: 0,
            response_code_details: None,
            flags: Flags::NONE,
            bytes_received: 0,
            bytes_sent: 0,
            upstream_host: None,
            upstream_cluster: None,
            upstream_local: None,
            downstream_remote: remote,
            downstream_local: local,
            downstream_tls: None,
            downstream_failure: None,
            upstream_failure: None,
            server_name: None,
            route_name: None,
        }
    }
}
