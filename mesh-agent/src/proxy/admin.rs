//! The proxy's admin pages, asked on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::Context;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{Method, Request, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;

use super::supervisor::Trust;
use crate::http::exchange;

const TIMEOUT: Duration = Duration::from_secs(2);
const MAX_BODY: usize = 1 << 20;

/// Where the pages are.
#[derive(Clone)]
pub(crate) struct Admin {
    address: SocketAddr,
    trust: Arc<AtomicU8>,
}

impl Admin {
    pub(super) fn new(address: SocketAddr) -> Self {
        Self { address, trust: Arc::new(AtomicU8::new(Trust::Asked as u8)) }
    }

    pub(super) fn trust(&self, trust: Trust) {
        self.trust.store(trust as u8, Ordering::Relaxed);
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether the proxy is live: it has its first configuration and takes connections.
    pub(crate) async fn live(&self) -> Result<(), String> {
        let trust = self.trust.load(Ordering::Relaxed);
        if trust == Trust::Held as u8 {
            return Ok(());
        }
        match self.ask(Method::GET, "/ready").await {
            // mesh-proxy and Envoy: 200 and LIVE, else 503 and the state's name.
            Ok((StatusCode::OK, body)) if body.trim() == "LIVE" => Ok(()),
            Ok((_, body)) => Err(format!("the proxy is {}", body.trim())),
            Err(_) if trust == Trust::Lost as u8 => Ok(()),
            Err(error) => Err(format!("the proxy does not answer: {error:#}")),
        }
    }

    /// Whether the proxy that answers is live and of this generation.
    pub(super) async fn serves(&self, epoch: u32) -> anyhow::Result<bool> {
        let (_, body) = self.ask(Method::GET, "/server_info").await?;
        let info: Value = serde_json::from_str(&body)?;
        let answers = info.pointer("/command_line_options/restart_epoch").and_then(Value::as_u64);
        Ok(info["state"] == "LIVE" && answers.unwrap_or_default() == u64::from(epoch))
    }

    /// Asks Envoy to turn its clients away, and in the end to close its listeners.
    pub(super) async fn drain_listeners(&self) -> anyhow::Result<()> {
        let (status, body) = self.ask(Method::POST, "/drain_listeners?graceful&skip_exit").await?;
        anyhow::ensure!(status == StatusCode::OK, "{status}: {}", body.trim());
        Ok(())
    }

    /// Connections that the proxy's listeners have now, its admin pages apart.
    pub(super) async fn connections(&self) -> anyhow::Result<u64> {
        let path = "/stats?filter=^listener%5C..*downstream_cx_active$";
        let (_, body) = self.ask(Method::GET, path).await?;
        Ok(sum(&body))
    }

    async fn ask(&self, method: Method, path: &str) -> anyhow::Result<(StatusCode, String)> {
        tokio::time::timeout(TIMEOUT, self.ask_unbounded(method, path))
            .await
            .with_context(|| format!("no answer from {} within {TIMEOUT:?}", self.address))?
    }

    async fn ask_unbounded(
        &self,
        method: Method,
        path: &str,
    ) -> anyhow::Result<(StatusCode, String)> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("cannot connect to {}", self.address))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", self.address.to_string())
            .body(Empty::new())?;
        let response = exchange(stream, request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_BODY);
        let body = body.collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

/// Lines such as `listener.0.0.0.0_15006.downstream_cx_active: 2`. Workers' own lines count
/// too: what matters is only whether there is any.
fn sum(stats: &str) -> u64 {
    stats
        .lines()
        .filter(|line| !line.starts_with("listener.admin."))
        .filter_map(|line| line.rsplit_once(": ")?.1.trim().parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_connections_of_listeners() {
        let stats = "listener.0.0.0.0_15001.downstream_cx_active: 2\n\
                     listener.admin.downstream_cx_active: 1\n\
                     listener.admin.main_thread.downstream_cx_active: 1\n\
                     listener.0.0.0.0_15006.downstream_cx_active: 3\n";
        assert_eq!(sum(stats), 5);
        assert_eq!(sum(""), 0);
    }
}
