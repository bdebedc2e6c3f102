//! `mesh-agent wait`: until the sidecar is ready. A sidecar's hook: kubelet starts a pod's
//! containers in their order, the next one after the hook. What it says when it gives up is in
//! the event that kubelet makes of it.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use tokio::net::TcpStream;

use crate::exit;
use crate::http::exchange;

const PAUSE: Duration = Duration::from_millis(50);
/// Bytes of an answer that says why not.
const MAX_REASON: usize = 4096;

/// How long to wait, and for what.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Seconds after which waiting is given up
    #[arg(long, default_value_t = 60)]
    timeout_s: u32,
    /// Port of /healthz/ready on this machine
    #[arg(long, default_value_t = 15021)]
    readiness_port: u16,
}

/// Waits; an error when the proxy is not ready in time.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let limit = Duration::from_secs(args.timeout_s.into());
        let mut reason = String::new();
        match tokio::time::timeout(limit, readiness(args.readiness_port, &mut reason)).await {
            Ok(()) => Ok(exit::OK),
            Err(_) => bail!("after {limit:?} the proxy is not ready: {reason}"),
        }
    })
}

/// Keeps in `reason` why it is not ready.
async fn readiness(port: u16, reason: &mut String) {
    while let Err(why) = ready(port).await {
        *reason = format!("{why:#}");
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ready(port: u16) -> anyhow::Result<()> {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .await
        .with_context(|| format!("nobody listens on port {port} yet"))?;
    let request =
        Request::get("/healthz/ready").header("host", "localhost").body(Empty::<Bytes>::new())?;
    let answer = exchange(stream, request).await?;
    if answer.status() == StatusCode::OK {
        return Ok(());
    }
    let body = Limited::new(answer.into_body(), MAX_REASON).collect().await;
    let body = body.map_err(|error| anyhow!("{error}"))?.to_bytes();
    bail!("{}", String::from_utf8_lossy(&body).trim())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use axum::Router;
    use axum::routing::get;

    use super::*;

    #[test]
    fn it_ends_when_the_proxy_is_ready() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&asked);
        let page = get(move || async move {
            match counter.fetch_add(1, Ordering::SeqCst) {
                0 | 1 => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::OK,
            }
        });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let readiness_port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            axum::serve(listener, Router::new().route("/healthz/ready", page)).await
        });
        assert_eq!(run(&Args { timeout_s: 60, readiness_port }).unwrap(), exit::OK);
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        drop(runtime);
        // Nobody listens any more.
        let error = run(&Args { timeout_s: 0, readiness_port }).unwrap_err().to_string();
        assert!(error.contains("the proxy is not ready"), "{error}");
    }

    #[test]
    fn it_says_why_it_gives_up() {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(1).enable_all().build().unwrap();
        let page = get(|| async { (StatusCode::SERVICE_UNAVAILABLE, "waiting for it\n") });
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let readiness_port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            axum::serve(listener, Router::new().route("/healthz/ready", page)).await
        });
        let error = run(&Args { timeout_s: 3, readiness_port }).unwrap_err().to_string();
        assert!(error.ends_with("is not ready: waiting for it"), "{error}");
    }
}
