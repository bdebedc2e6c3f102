//! `mesh-agent wait`: until the sidecar is ready. The hook of a sidecar that is a plain
//! container: kubelet starts a pod's containers in their order, the next one after the hook.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::bail;
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::body::Bytes;
use tokio::net::TcpStream;

use crate::exit;
use crate::http::exchange;

const PAUSE: Duration = Duration::from_millis(50);

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
        match tokio::time::timeout(limit, readiness(args.readiness_port)).await {
            Ok(()) => Ok(exit::OK),
            Err(_) => bail!("after {limit:?} the proxy is not ready"),
        }
    })
}

async fn readiness(port: u16) {
    while !is_ready(port).await {
        tokio::time::sleep(PAUSE).await;
    }
}

/// An agent that does not listen yet is not ready either.
async fn is_ready(port: u16) -> bool {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return false };
    let request =
        Request::get("/healthz/ready").header("host", "localhost").body(Empty::<Bytes>::new());
    let Ok(request) = request else { return false };
    exchange(stream, request).await.is_ok_and(|answer| answer.status() == StatusCode::OK)
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
}
