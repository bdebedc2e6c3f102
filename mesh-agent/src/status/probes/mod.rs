//! Probes of the application. Kubelet's own would not reach it as they should: they come
//! from outside the mesh, and the proxy accepts every TCP connection. Injection sends them
//! here, where they are made anew as kubelet would make them.

mod config;
mod grpc;
mod http;
mod redirect;

use anyhow::{Context, bail};
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};

use super::application::Application;
pub(super) use config::Probes;
use config::{Kind, Probe};

/// Asks the application, within the probe's time. The status is the answer to kubelet, for
/// which 200 to 399 is good; an error says what is not.
pub(super) async fn ask(
    probe: &Probe,
    application: &Application,
    headers: &HeaderMap,
) -> anyhow::Result<(StatusCode, Bytes)> {
    let asked = ask_unbounded(probe, application, headers);
    match probe.timeout {
        Some(timeout) => match tokio::time::timeout(timeout, asked).await {
            Ok(done) => done,
            Err(_) => bail!("no answer within {timeout:?}"),
        },
        None => asked.await,
    }
}

async fn ask_unbounded(
    probe: &Probe,
    application: &Application,
    headers: &HeaderMap,
) -> anyhow::Result<(StatusCode, Bytes)> {
    match &probe.kind {
        Kind::Http(get) => http::get(get, application, headers).await,
        Kind::Grpc { port, service } => {
            grpc::check(application, *port, service).await?;
            Ok((StatusCode::OK, Bytes::new()))
        }
        Kind::Tcp { port } => {
            application.dial(*port).await.with_context(|| {
                format!("cannot connect to port {port} of {}", application.address())
            })?;
            Ok((StatusCode::OK, Bytes::new()))
        }
    }
}
