//! WebSockets: every message comes back.

use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Whether the request wants one.
pub(super) fn is_wanted(request: &Request<Incoming>) -> bool {
    let upgrade = request.headers().get(header::UPGRADE);
    upgrade.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Agrees, and echoes once the connection is upgraded.
pub(super) fn accept<B: Default>(request: Request<Incoming>) -> Response<B> {
    let mut response = Response::new(B::default());
    let key = request.headers().get(header::SEC_WEBSOCKET_KEY);
    let accepted = key.map(|key| derive_accept_key(key.as_bytes()));
    let Some(Ok(accepted)) = accepted.map(|accepted| HeaderValue::from_str(&accepted)) else {
        *response.status_mut() = StatusCode::BAD_REQUEST;
        return response;
    };
    tokio::spawn(async move {
        if let Ok(upgraded) = hyper::upgrade::on(request).await {
            let socket =
                WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
            // A client that goes away in the middle is not this server's failure.
            let _ = echo(socket).await;
        }
    });
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accepted);
    response
}

async fn echo(mut socket: WebSocketStream<TokioIo<hyper::upgrade::Upgraded>>) -> Result<(), Error> {
    // A close is answered by the library.
    while let Some(message) = socket.next().await.transpose()? {
        if matches!(message, Message::Binary(_) | Message::Text(_)) {
            socket.send(message).await?;
        }
    }
    Ok(())
}
