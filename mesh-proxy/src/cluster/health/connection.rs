//! Connections of health checks: not of any pool, and counted nowhere.

use std::net::SocketAddr;
use std::sync::Arc;

use ::http::{Request, Response};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};

use crate::cluster::Cluster;
use crate::cluster::connect::establish;
use crate::codec::Protocol;
use crate::config::Name;
use crate::endpoint::Endpoint;
use crate::transport::{ConnectError, Io};

/// What is checked.
pub(super) struct Target {
    pub(super) cluster: Arc<Cluster>,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) address: SocketAddr,
    pub(super) host: Name,
}

impl Target {
    /// A connection, with TLS where requests to the endpoint have it.
    pub(super) async fn connect(&self, protocol: Option<Protocol>) -> Result<Io, ConnectError> {
        establish(&self.cluster, &self.endpoint, self.address, protocol).await.map(|(io, _)| io)
    }
}

/// An HTTP connection.
pub(super) enum Http {
    One(http1::SendRequest<Full<Bytes>>),
    Two(http2::SendRequest<Full<Bytes>>),
}

impl Http {
    /// `None` when there is no connection.
    pub(super) async fn connect(target: &Target, protocol: Protocol) -> Option<Self> {
        let io = TokioIo::new(target.connect(Some(protocol)).await.ok()?);
        match protocol {
            Protocol::Http1 => {
                let (sender, connection) = http1::handshake(io).await.ok()?;
                // Ends when the sender is dropped.
                tokio::spawn(connection);
                Some(Self::One(sender))
            }
            Protocol::Http2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.ok()?;
                tokio::spawn(connection);
                Some(Self::Two(sender))
            }
        }
    }

    /// Whether it takes another request.
    pub(super) async fn is_ready(&mut self) -> bool {
        match self {
            Self::One(sender) => sender.ready().await.is_ok(),
            Self::Two(sender) => sender.ready().await.is_ok(),
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Option<Response<Incoming>> {
        match self {
            Self::One(sender) => sender.send_request(request).await.ok(),
            Self::Two(sender) => sender.send_request(request).await.ok(),
        }
    }
}
