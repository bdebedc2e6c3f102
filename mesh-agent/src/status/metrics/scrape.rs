//! Reading others' metrics.

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Context, bail, ensure};
use axum::http::header::{ACCEPT, CONTENT_TYPE, HOST};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use tokio::net::TcpStream;

use super::{OPENMETRICS, Target};
use crate::http::exchange;
use crate::proxy::admin::Admin;
use crate::status::application::Application;

const ACCEPT_TEXT: &str = "text/plain;version=0.0.4";
const ACCEPT_BOTH: &str =
    "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";

/// Metrics that are on their way.
pub(super) struct Scraped {
    /// Their content type, when it is OpenMetrics.
    pub(super) openmetrics: Option<HeaderValue>,
    body: Incoming,
}

impl Scraped {
    /// The next part; nothing at the good end.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<Bytes>> {
        while let Some(frame) = self.body.frame().await {
            if let Ok(bytes) = frame?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }
}

/// The proxy's, mesh-proxy's or Envoy's.
pub(super) async fn proxy(admin: &Admin) -> anyhow::Result<Scraped> {
    let stream = TcpStream::connect(admin.address()).await.context("it does not answer")?;
    ask(stream, PathAndQuery::from_static("/stats/prometheus"), ACCEPT_TEXT).await
}

/// The application's; in OpenMetrics only when whoever asks the agent understands it.
pub(super) async fn application(
    target: &Target,
    application: &Application,
    openmetrics: bool,
) -> anyhow::Result<Scraped> {
    let stream = dial(target.port, application).await?;
    let accept = if openmetrics { ACCEPT_BOTH } else { ACCEPT_TEXT };
    ask(stream, target.path.clone(), accept).await
}

/// On loopback, as in Istio; and one that listens only on the pod's address, there.
async fn dial(port: u16, application: &Application) -> anyhow::Result<TcpStream> {
    if let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        return Ok(stream);
    }
    if let Ok(stream) = TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await {
        return Ok(stream);
    }
    let stream = application.dial(port).await;
    stream.with_context(|| {
        format!("nobody listens on port {port} of localhost or {}", application.address())
    })
}

async fn ask(stream: TcpStream, path: PathAndQuery, accept: &str) -> anyhow::Result<Scraped> {
    let host = stream.peer_addr()?.to_string();
    let request = Request::get(path).header(HOST, host).header(ACCEPT, accept);
    let answer = exchange(stream, request.body(Empty::new())?).await?;
    ensure!(answer.status() == StatusCode::OK, "status {}", answer.status());
    let (mut head, body) = answer.into_parts();
    let content_type = head.headers.remove(CONTENT_TYPE);
    let kind = content_type.as_ref().map(|value| value.to_str().unwrap_or("unreadable"));
    let openmetrics = match kind.map(|kind| kind.split(';').next().unwrap_or_default().trim()) {
        None | Some("" | "text/plain") => None,
        Some(OPENMETRICS) => content_type,
        Some(other) => {
            bail!("the content type is {other}, expected text/plain or {OPENMETRICS}")
        }
    };
    Ok(Scraped { openmetrics, body })
}
