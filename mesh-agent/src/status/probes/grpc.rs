//! `grpc`: the method `Check` of `grpc.health.v1.Health`, over HTTP/2 without TLS, as
//! kubelet asks. One call on a connection of its own needs no more than is here.

use anyhow::{Context, anyhow, bail, ensure};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_proto::health::{self, Status};

use crate::status::application::Application;

const MAX_ANSWER: usize = 4096;

/// Whether the service (empty: the server as a whole) serves.
pub(super) async fn check(
    application: &Application,
    port: u16,
    service: &str,
) -> anyhow::Result<()> {
    let place = || format!("port {port} of {}", application.address());
    let stream = application.dial(port).await.with_context(place)?;
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.with_context(place)?;
    tokio::spawn(connection);
    let authority = std::net::SocketAddr::new(application.address(), port);
    let request = Request::post(format!("http://{authority}{}", health::CHECK))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "mesh-agent-probe")
        .body(Full::new(Bytes::from(health::question(service))))?;
    let (head, body) = sender.send_request(request).await.with_context(place)?.into_parts();
    ensure!(head.status == StatusCode::OK, "{}: HTTP status {}", place(), head.status);
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?;
    // An error without a message has its status in the head.
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    grpc_status(&trailers).with_context(place)?;
    match health::answer(&body.to_bytes()).with_context(place)? {
        Status::Serving => Ok(()),
        other => Err(anyhow!("the service's status is {other}")).with_context(place),
    }
}

fn grpc_status(trailers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(code) => bail!("gRPC status {code}: {}", text("grpc-message").unwrap_or_default()),
        None => bail!("the answer has no grpc-status"),
    }
}
