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

/// How long whoever has only just connected may take to ask, when it is to end: closing at
/// once would cut off what is on its way.
const GRACE: Duration = Duration::from_secs(1);
/// When nothing can be accepted, how long until the next try.
const BACK_OFF: Duration = Duration::from_millis(100);

/// Accepts until the drain begins; what comes then waits in the socket's queue.
struct Door {
    listener: TcpListener,
    stop: Watcher,
    /// Given to each connection.
    fresh: Option<mpsc::Sender<()>>,
}

/// A connection.
struct Visitor {
    io: TcpStream,
    /// Held until something was asked.
    fresh: Option<mpsc::Sender<()>>,
}

/// Serves `pages` until the drain begins, then until what is asked has been answered, with
/// `Connection: close`; also by those who have connected and not asked anything yet.
pub(super) async fn serve(listener: TcpListener, pages: Router, stop: Watcher) -> io::Result<()> {
    let (fresh, mut asked) = mpsc::channel(1);
    let is_ending = Arc::new(AtomicBool::new(false));
    let ending = {
        let (is_ending, mut stop) = (Arc::clone(&is_ending), stop.clone());
        async move {
            stop.begun().await;
            is_ending.store(true, Ordering::Relaxed);
            let _ = tokio::time::timeout(GRACE, asked.recv()).await;
        }
    };
    let pages = pages.layer(map_response(move |mut response: Response| {
        if is_ending.load(Ordering::Relaxed) {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        std::future::ready(response)
    }));
    let door = Door { listener, stop, fresh: Some(fresh) };
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
                    self.fresh = None;
                    pending::<()>().await;
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((io, remote)) => return (Visitor { io, fresh: self.fresh.clone() }, remote),
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
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.fresh = None;
        }
        polled
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

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use mesh_runtime::drain;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn who_has_connected_is_answered_and_who_has_been_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, watcher) = drain::channel();
        let pages = Router::new().route("/", get(|| async { "page" }));
        let serving = tokio::spawn(serve(listener, pages, watcher));
        let mut kept = TcpStream::connect(address).await.unwrap();
        kept.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = vec![0; 1024];
        let read = kept.read(&mut answer).await.unwrap();
        assert!(answer[..read].starts_with(b"HTTP/1.1 200"));
        let mut fresh = TcpStream::connect(address).await.unwrap();
        // Accepted after it, so that it is, too.
        let mut probe = TcpStream::connect(address).await.unwrap();
        probe.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        probe.read_to_end(&mut Vec::new()).await.unwrap();
        let ended = tokio::spawn(stop.drain(Duration::from_secs(60)));
        tokio::task::yield_now().await;
        fresh.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        fresh.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("connection: close") && answer.ends_with("page"), "{answer}");
        assert_eq!(kept.read(&mut [0]).await.unwrap(), 0);
        assert!(ended.await.unwrap());
        serving.await.unwrap().unwrap();
    }
}
