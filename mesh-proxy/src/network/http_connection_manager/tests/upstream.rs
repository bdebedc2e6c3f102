//! Upstreams of every kind.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use super::{AnyBody, text};

/// A server that counts.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Upstream {
    pub(super) async fn http1<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::raw(move |io| serve_http1(io, handler.clone())).await
    }

    pub(super) async fn http2<F, R>(max_streams: u32, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Clone + Send + Sync + 'static,
        R: Future<Output = Response<AnyBody>> + Send + 'static,
    {
        Self::raw(move |io| {
            let handler = handler.clone();
            async move {
                let service = service_fn(move |request| {
                    let response = handler(request);
                    async { Ok::<_, Infallible>(response.await) }
                });
                let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                builder.max_concurrent_streams(max_streams);
                let _ = builder.serve_connection(TokioIo::new(io), service).await;
            }
        })
        .await
    }

    /// Does as it likes with each connection.
    pub(super) async fn raw<F, R>(handler: F) -> Self
    where
        F: Fn(TcpStream) -> R + Send + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let open = Arc::new(AtomicUsize::new(0));
        let counts = (Arc::clone(&connections), Arc::clone(&open));
        tokio::spawn(async move {
            while let Ok((io, _)) = listener.accept().await {
                counts.0.fetch_add(1, Ordering::SeqCst);
                counts.1.fetch_add(1, Ordering::SeqCst);
                let open = Arc::clone(&counts.1);
                let served = handler(io);
                tokio::spawn(async move {
                    served.await;
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        Self { address, connections, open }
    }

    /// Says its name.
    pub(super) async fn named(name: &'static str) -> Self {
        Self::http1(move |_| async move { Response::new(text(name)) }).await
    }

    /// How many connections came so far.
    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Waits until this many connections are open.
    pub(super) async fn until_open(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + mesh_testkit::DEADLINE;
        while self.open.load(Ordering::SeqCst) != count {
            assert!(
                tokio::time::Instant::now() < deadline,
                "{} open",
                self.open.load(Ordering::SeqCst)
            );
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }
}

/// Answers the requests of one connection.
pub(super) async fn serve_http1<F, R>(io: TcpStream, handler: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Response<AnyBody>>,
{
    let service = service_fn(|request| {
        let response = handler(request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let builder = hyper::server::conn::http1::Builder::new();
    let connection = builder.serve_connection(TokioIo::new(io), service);
    let _ = connection.with_upgrades().await;
}
