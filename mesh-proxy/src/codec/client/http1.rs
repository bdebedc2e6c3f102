//! HTTP/1.1 to an upstream, by hyper.

use std::error::Error;
use std::future::Future;

use http::request::Parts;
use http::{Request, Response};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper_util::rt::TokioIo;

use super::{SendError, SendErrorKind};
use crate::codec::Body;
use crate::transport::Io;

/// A connection that takes one request at a time.
pub(crate) struct Http1 {
    sender: SendRequest<Body>,
}

impl Http1 {
    /// The connection, and what drives it: to be polled by a task until it ends, which is
    /// when the connection is closed or was upgraded.
    pub(crate) async fn new(io: Io) -> hyper::Result<(Self, impl Future<Output = ()> + 'static)> {
        let (sender, connection) = Builder::new().handshake(TokioIo::new(io)).await?;
        let driver = async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        };
        Ok((Self { sender }, driver))
    }

    /// Whether the last response is complete and the next request can be sent.
    pub(crate) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until [`Http1::is_ready`]; `false` when the connection is closed.
    pub(crate) async fn ready(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Sends a request and waits for the head of its response. The head has an origin-form
    /// target and a Host header. Dropping the future closes the connection.
    pub(crate) async fn send(
        &mut self,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, SendError> {
        let mut request = Request::new(body);
        *request.method_mut() = head.method.clone();
        *request.uri_mut() = head.uri.clone();
        *request.headers_mut() = head.headers.clone();
        match self.sender.try_send_request(request).await {
            Ok(response) => Ok(response.map(Body::hyper)),
            Err(mut error) => {
                let body = error.take_message().map(Request::into_body);
                let kind =
                    if body.is_some() { SendErrorKind::NotSent } else { kind(error.error()) };
                Err(SendError {
                    body,
                    connection_broke: true,
                    transport_failure: super::transport_failure(error.error()),
                    ..SendError::new(kind, detail(error.error()))
                })
            }
        }
    }
}

fn kind(error: &hyper::Error) -> SendErrorKind {
    if error.is_parse() { SendErrorKind::Protocol } else { SendErrorKind::Closed }
}

fn detail(error: &hyper::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
