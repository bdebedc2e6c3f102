//! Answering pages, until another process does.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::Response;
use axum::serve::Listener;
use mesh_runtime::drain::Watcher;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How long whoever is connected may still ask, when it is to end: closing at once would cut
/// off what is on its way.
const GRACE: Duration = Duration::from_secs(1);
/// When nothing can be accepted, how long until the next try.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts until the drain begins; what comes then waits in the socket's queue.
struct Door {
    listener: TcpListener,
    stop: Watcher,
    /// Given to each connection.
    open: Option<mpsc::Sender<()>>,
}

/// A connection, counted by the sender that it holds.
struct Visitor {
    io: TcpStream,
    _open: Option<mpsc::Sender<()>>,
}

/// Serves `pages` until the drain begins, then until whoever is connected has been answered,
/// the last time with `Connection: close`.
pub(super) async fn serve(listener: TcpListener, pages: Router, stop: Watcher) -> io::Result<()> {
    let (open, mut closed) = mpsc::channel(1);
    let is_ending = Arc::new(AtomicBool::new(false));
    let ending = {
        let (is_ending, mut stop) = (Arc::clone(&is_ending), stop.clone());
        async move {
            stop.begun().await;
            is_ending.store(true, Ordering::Relaxed);
            let _ = tokio::time::timeout(GRACE, closed.recv()).await;
        }
    };
    let pages = pages.layer(map_response(move |mut response: Response| {
        if is_ending.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        std::future::ready(response)
    }));
    let door = Door { listener, stop, open: Some(open) };
    axum::serve(door, pages).with_graceful_shutdown(ending).await
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            tokio::select! {
                biased;
                _ = self.stop.begun() => {
                    self.open = None;
                    pending::<()>().await;
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((io, remote)) => return (Visitor { io, _open: self.open.clone() }, remote),
                    Err(_) => tokio::time::sleep(BACK_OFF).await,
                },
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
