//! A client for one connection, HTTP/1.1 or HTTP/2.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::TcpStream;

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its version.
    pub version: Version,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The fields after its body.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, as [`crate::Upstream`] sends it.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {}", self.status, self.text()))
    }
}

/// One connection. Needs a tokio runtime.
pub enum Client {
    /// With HTTP/1.1.
    Http1(http1::SendRequest<Full<Bytes>>),
    /// With HTTP/2, by prior knowledge.
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Client {
    /// Connects for HTTP/1.1.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn http1(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (sender, connection) = http1::handshake(stream).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http1(sender))
    }

    /// Connects for HTTP/2.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn http2(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TokioIo::new(TcpStream::connect(address).await?);
        let (sender, connection) =
            http2::handshake(TokioExecutor::new(), stream).await.map_err(std::io::Error::other)?;
        tokio::spawn(connection);
        Ok(Self::Http2(sender))
    }

    /// Sends a request and reads the whole answer. The URI is taken as it is: for HTTP/1.1 a
    /// path beside a `host` header, for HTTP/2 a full `http://host/path`.
    ///
    /// # Errors
    /// When the connection is closed, or the answer is cut or none.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        read(response).await
    }

    /// GETs a path of a host.
    ///
    /// # Errors
    /// As [`send`](Self::send).
    ///
    /// # Panics
    /// When they do not make a URI.
    pub async fn get(&mut self, host: &str, path: &str) -> hyper::Result<Answer> {
        let request = match self {
            Self::Http1(_) => Request::get(path).header("host", host),
            Self::Http2(_) => Request::get(format!("http://{host}{path}")),
        };
        self.send(request.body(Full::default()).unwrap()).await
    }
}

/// GETs over a new HTTP/1.1 connection.
///
/// # Errors
/// When nobody listens, or there is no whole answer.
pub async fn get(address: SocketAddr, host: &str, path: &str) -> std::io::Result<Answer> {
    let mut client = Client::http1(address).await?;
    client.get(host, path).await.map_err(std::io::Error::other)
}

async fn read(response: Response<Incoming>) -> hyper::Result<Answer> {
    let (head, body) = response.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().cloned();
    let (status, version, headers) = (head.status, head.version, head.headers);
    Ok(Answer { status, version, headers, body: body.to_bytes(), trailers })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Upstream;

    #[tokio::test]
    async fn the_upstream_answers_both_versions_on_one_port() {
        let upstream = Upstream::start("a");
        let mut one = Client::http1(upstream.address()).await.unwrap();
        let mut two = Client::http2(upstream.address()).await.unwrap();
        let first = one.get("one.example", "/x?y").await.unwrap();
        let second = two.get("two.example", "/z").await.unwrap();
        assert_eq!((first.version, second.version), (Version::HTTP_11, Version::HTTP_2));
        assert_eq!(first.json()["upstream"], "a");
        assert_eq!(first.json()["path"], "/x?y");
        assert_eq!(first.json()["headers"]["host"], "one.example");
        assert_eq!(second.json()["authority"], "two.example");
        assert_eq!((upstream.requests(), upstream.connections()), (2, 2));
    }

    #[tokio::test]
    async fn a_request_can_ask_for_a_status() {
        let upstream = Upstream::start("a");
        let mut client = Client::http1(upstream.address()).await.unwrap();
        let request = Request::post("/").header("x-answer-status", "503").header("host", "h");
        let answer = client.send(request.body(Full::from("hello")).unwrap()).await.unwrap();
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.json()["body"], "hello");
    }
}
