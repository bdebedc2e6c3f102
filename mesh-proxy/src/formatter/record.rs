//! What can be told of a request or a connection.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, header};

use super::Flags;
use crate::codec::grpc;
use crate::transport::tls::ConnectionInfo;

/// One request, or one connection of a TCP proxy, at its end or on its way. What is not
/// known, or not known yet, is `None`.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    /// When the request's first byte, or the connection, came.
    pub(crate) start: SystemTime,
    /// From then to the last byte of the response, or the connection's end.
    pub(crate) duration: Duration,
    pub(crate) kind: LogType,
    /// From the beginning to the request's last byte.
    pub(crate) request_received: Option<Duration>,
    /// From the beginning until the request's head went to the upstream.
    pub(crate) request_sent: Option<Duration>,
    /// From the beginning to the head of the upstream's response.
    pub(crate) response_began: Option<Duration>,
    pub(crate) request: Option<Request<'a>>,
    pub(crate) response_headers: Option<&'a HeaderMap>,
    /// The status that goes with them.
    pub(crate) response_status: u16,
    pub(crate) response_trailers: Option<&'a HeaderMap>,
    /// The status; 0 when no response was sent. On the way an upstream's: Envoy's own answers
    /// get theirs at the end.
    pub(crate) response_code: u16,
    /// Envoy's `via_upstream`, `route_not_found` and the like.
    pub(crate) response_code_details: Option<&'a str>,
    pub(crate) flags: Flags,
    /// The body of an answer that is being made.
    pub(crate) local_reply_body: &'a [u8],
    /// Bytes of the bodies, or of the connection.
    pub(crate) bytes_received: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) upstream_host: Option<SocketAddr>,
    pub(crate) upstream_cluster: Option<&'a str>,
    /// "HTTP/1.1", "HTTP/2".
    pub(crate) upstream_protocol: Option<&'static str>,
    /// The client's, where there is no request to tell it.
    pub(crate) protocol: Option<&'static str>,
    /// How many times the request was sent to an upstream.
    pub(crate) attempts: u32,
    /// The proxy's own address towards the upstream.
    pub(crate) upstream_local: Option<SocketAddr>,
    pub(crate) downstream_remote: SocketAddr,
    /// Who is at the other end of the connection: a proxy before this one, or the client.
    pub(crate) downstream_direct: SocketAddr,
    pub(crate) downstream_local: SocketAddr,
    /// The Unix socket of a connection that has no addresses: as in Envoy it is both ends'.
    pub(crate) downstream_pipe: Option<&'a str>,
    /// The client's TLS; `None` on a plain connection.
    pub(crate) downstream_tls: Option<&'a ConnectionInfo>,
    /// Why the client's handshake failed.
    pub(crate) downstream_failure: Option<&'a str>,
    /// Why that with the upstream failed.
    pub(crate) upstream_failure: Option<&'a str>,
    /// SNI.
    pub(crate) server_name: Option<&'a str>,
    pub(crate) route_name: Option<&'a str>,
    /// The health check filter has said so.
    pub(crate) is_health_check: bool,
}

/// The request of a [`Record`], as it is now: filters and the route change it.
#[derive(Clone, Copy)]
pub(crate) struct Request<'a> {
    pub(crate) head: &'a Parts,
    pub(crate) is_over_tls: bool,
}

/// Envoy's `AccessLogType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogType {
    /// A request is still on its way.
    NotSet,
    DownstreamEnd,
    TcpConnectionEnd,
}

impl LogType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::NotSet => "NotSet",
            Self::DownstreamEnd => "DownstreamEnd",
            Self::TcpConnectionEnd => "TcpConnectionEnd",
        }
    }
}

impl<'a> Request<'a> {
    pub(super) fn scheme(&self) -> &'static str {
        if self.is_over_tls { "https" } else { "http" }
    }

    pub(super) fn authority(&self) -> Option<&'a [u8]> {
        self.head.headers.get(header::HOST).map(|host| host.as_bytes())
    }

    /// With its query.
    pub(super) fn path(&self) -> &'a str {
        // CONNECT has none.
        let path = self.head.uri.path_and_query().filter(|_| self.head.method != Method::CONNECT);
        path.map_or("", |path| path.as_str())
    }

    pub(crate) fn protocol(&self) -> &'static str {
        match self.head.version {
            http::Version::HTTP_2 => "HTTP/2",
            http::Version::HTTP_10 => "HTTP/1.0",
            _ => "HTTP/1.1",
        }
    }
}

impl<'a> Record<'a> {
    /// A record with nothing but who spoke to whom.
    pub(crate) fn new(start: SystemTime, remote: SocketAddr, local: SocketAddr) -> Self {
        Self {
            start,
            duration: Duration::ZERO,
            kind: LogType::TcpConnectionEnd,
            request_received: None,
            request_sent: None,
            response_began: None,
            request: None,
            response_headers: None,
            response_status: 0,
            response_trailers: None,
            response_code: 0,
            response_code_details: None,
            flags: Flags::NONE,
            bytes_received: 0,
            bytes_sent: 0,
            upstream_host: None,
            upstream_cluster: None,
            upstream_protocol: None,
            protocol: None,
            attempts: 0,
            upstream_local: None,
            downstream_remote: remote,
            downstream_direct: remote,
            downstream_local: local,
            downstream_pipe: None,
            local_reply_body: b"",
            downstream_tls: None,
            downstream_failure: None,
            upstream_failure: None,
            server_name: None,
            route_name: None,
            is_health_check: false,
        }
    }

    /// The number in the request's x-request-id, by which all proxies choose the same share of
    /// the requests (Envoy: its first eight digits).
    pub(crate) fn request_id_number(&self) -> Option<u64> {
        let id = self.request?.head.headers.get("x-request-id")?.to_str().ok()?;
        u64::from_str_radix(id.get(..8)?, 16).ok()
    }

    /// The gRPC status: that of the trailers, or of the headers of a response without a body,
    /// or what the status of HTTP stands for.
    pub(crate) fn grpc_status(&self) -> Option<u64> {
        let said = [self.response_trailers, self.response_headers].into_iter().flatten();
        match said.filter_map(|headers| headers.get("grpc-status")).next() {
            Some(status) => status.to_str().ok()?.parse().ok(),
            None => {
                let status = StatusCode::from_u16(self.response_code).ok()?;
                Some(grpc::status_for(status).into())
            }
        }
    }
}
