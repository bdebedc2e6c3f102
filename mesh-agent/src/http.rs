//! One HTTP/1.1 request over a connection of its own.

use http::{Request, Response};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends the request and gives the answer's head; its body comes as it is read. Dropping
/// the answer closes the connection. There is no limit here, of time or of size.
pub(crate) async fn exchange<S>(
    stream: S,
    request: Request<Empty<Bytes>>,
) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the answer, or when nobody waits for it any more.
    tokio::spawn(connection);
    sender.send_request(request).await
}
