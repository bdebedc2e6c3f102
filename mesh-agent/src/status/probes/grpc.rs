//! `grpc`: the method `Check` of `grpc.health.v1.Health`, over HTTP/2 without TLS, as
//! kubelet asks. One call on a connection of its own needs no more than is here.

use anyhow::{Context, bail, ensure};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use crate::status::application::Application;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthCheckResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// `ServingStatus.SERVING`.
const SERVING: i32 = 1;
const MAX_ANSWER: usize = 4096;
/// Of a message in a gRPC stream: whether it is compressed, and its length.
const PREFIX: usize = 5;

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
    let request = Request::post(format!("http://{authority}/grpc.health.v1.Health/Check"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("user-agent", "mesh-agent-probe")
        .body(Full::new(framed(service)))?;
    let (head, body) = sender.send_request(request).await.with_context(place)?.into_parts();
    ensure!(head.status == StatusCode::OK, "{}: HTTP status {}", place(), head.status);
    let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(anyhow::Error::from_boxed)?;
    // An error without a message has its status in the head.
    let trailers = body.trailers().cloned().unwrap_or(head.headers);
    grpc_status(&trailers).with_context(place)?;
    serving(&body.to_bytes()).with_context(place)
}

fn framed(service: &str) -> Bytes {
    let message = HealthCheckRequest { service: service.to_owned() }.encode_to_vec();
    let mut frame = vec![0; PREFIX];
    let length = u32::try_from(message.len()).unwrap_or_default();
    frame[1..].copy_from_slice(&length.to_be_bytes());
    frame.extend(message);
    frame.into()
}

fn grpc_status(trailers: &HeaderMap) -> anyhow::Result<()> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(code) => bail!("gRPC status {code}: {}", text("grpc-message").unwrap_or_default()),
        None => bail!("the answer has no grpc-status"),
    }
}

fn serving(body: &[u8]) -> anyhow::Result<()> {
    let message = body.get(PREFIX..).context("the answer has no message")?;
    ensure!(body[0] == 0, "the answer is compressed, though nobody asked for it");
    let answer = HealthCheckResponse::decode(message).context("not a HealthCheckResponse")?;
    let name = match answer.status {
        SERVING => return Ok(()),
        0 => "UNKNOWN",
        2 => "NOT_SERVING",
        3 => "SERVICE_UNKNOWN",
        _ => "a number that is not known",
    };
    bail!("the service's status is {name} ({})", answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_framed() {
        assert_eq!(&framed("")[..], [0; 5]);
        assert_eq!(&framed("ab")[..], [0, 0, 0, 0, 4, 0x0a, 2, b'a', b'b']);
    }

    #[test]
    fn only_serving_is_good() {
        assert!(serving(&[0, 0, 0, 0, 2, 8, 1]).is_ok());
        let error = serving(&[0, 0, 0, 0, 2, 8, 2]).unwrap_err().to_string();
        assert_eq!(error, "the service's status is NOT_SERVING (2)");
        assert!(serving(&[0, 0, 0, 0, 0]).is_err(), "UNKNOWN is the default");
        assert!(serving(&[]).is_err());
    }
}
