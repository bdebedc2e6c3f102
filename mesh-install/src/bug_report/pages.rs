//! Pages that a pod serves to itself alone, through the API server.

use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;

/// For a page of a pod that hangs.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The text of a page, or why there is none.
pub(super) async fn page(
    pods: &Api<Pod>,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<String, String> {
    let got = tokio::time::timeout(TIMEOUT, get(pods, pod, port, path)).await;
    got.unwrap_or_else(|_| Err(format!("no answer within {} s", TIMEOUT.as_secs())))
}

async fn get(pods: &Api<Pod>, pod: &str, port: u16, path: &str) -> Result<String, String> {
    let mut forwarder =
        pods.portforward(pod, &[port]).await.map_err(|error| crate::explain(&error))?;
    let stream = forwarder.take_stream(port).ok_or("no stream to the pod")?;
    let said = |error: hyper::Error| error.to_string();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(said)?;
    let connection = tokio::spawn(connection);
    let request = Request::get(path)
        .header("host", "localhost")
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let response = sender.send_request(request).await.map_err(said)?;
    let status = response.status();
    let body = response.into_body().collect().await.map_err(said)?.to_bytes();
    connection.abort();
    match status.is_success() {
        true => Ok(String::from_utf8_lossy(&body).into_owned()),
        false => Err(format!("{status}: {}", String::from_utf8_lossy(&body))),
    }
}
