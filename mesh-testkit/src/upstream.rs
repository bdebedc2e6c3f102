//! An HTTP server behind a proxy that says what reached it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::background::Background;
use crate::free_address;

/// Answers HTTP/1.1 and HTTP/2 (prior knowledge) on one port with a JSON object: its own
/// name as `upstream`, and the request's `method`, `path`, `version`, `headers` and `body`.
/// The name is in the header `x-upstream` too.
///
/// The request can ask for a status (`x-answer-status: 503`) and for a delay
/// (`x-answer-delay-ms: 500`).
pub struct Upstream {
    address: SocketAddr,
    requests: Arc<AtomicU64>,
    connections: Arc<AtomicU64>,
    _server: Background,
}

impl Upstream {
    /// Starts one on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    #[must_use]
    pub fn start(name: &str) -> Self {
        Self::start_at(name, free_address())
    }

    /// Starts one on this address.
    ///
    /// # Panics
    /// When the address is in use.
    #[must_use]
    pub fn start_at(name: &str, address: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (requests, connections) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (name, counted, accepted) = (name.to_owned(), requests.clone(), connections.clone());
        let server = Background::start(async move {
            let listener = TcpListener::from_std(listener).unwrap();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(stream, name.clone(), counted.clone()));
            }
        });
        Self { address, requests, connections, _server: server }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests have reached it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// How many connections it has accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(stream: TcpStream, name: String, requests: Arc<AtomicU64>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        requests.fetch_add(1, Ordering::Relaxed);
        answer(name.clone(), request)
    });
    let http = auto::Builder::new(TokioExecutor::new());
    // A peer that goes away in the middle is not this server's failure.
    let _ = http.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(
    name: String,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    // A body that is cut leaves nobody to answer to.
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    if let Some(delay) = wished(&head.headers, "x-answer-delay-ms") {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    let status = wished(&head.headers, "x-answer-status")
        .and_then(|status| StatusCode::from_u16(u16::try_from(status).ok()?).ok());
    let headers: BTreeMap<&str, String> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into()))
        .collect();
    let seen = json!({
        "upstream": name,
        "method": head.method.as_str(),
        "path": head.uri.path_and_query().map_or("", |path| path.as_str()),
        "authority": head.uri.authority().map(|authority| authority.as_str()),
        "version": format!("{:?}", head.version),
        "headers": headers,
        "body": String::from_utf8_lossy(&body),
    });
    let response = Response::builder()
        .status(status.unwrap_or(StatusCode::OK))
        .header("content-type", "application/json")
        .header("x-upstream", &name)
        .body(Full::from(seen.to_string()))
        .expect("a status and headers that are valid");
    Ok(response)
}

fn wished(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}
