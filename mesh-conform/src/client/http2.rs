//! HTTP/2 as a client.

use std::future::Future;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::case::{Headers, Request};
use crate::wire::{self, Body, End, Io};

/// As for HTTP/1.
const SILENCE: Duration = Duration::from_secs(5);

pub(super) type Sender = SendRequest<Bytes>;

/// # Errors
/// When the connection ends at once.
pub(super) async fn start(io: Box<dyn Io>) -> Result<Sender> {
    let (sender, connection) = h2::client::handshake(io).await.context("HTTP/2")?;
    // How it ends is seen by its streams.
    spawn_local(async { drop(connection.await) });
    Ok(sender)
}

/// One request and its response; and whether the connection can take another one.
///
/// # Errors
/// When HTTP/2 has no such request.
pub(super) async fn exchange(sender: &mut Sender, request: &Request) -> Result<(Value, bool)> {
    let head = head(request)?;
    let body = wire::bytes(&request.whole_body())?;
    let trailers = map(&request.trailers)?;
    let mut told = json!({"responses": [], "connection": "open"});
    let outcome = in_time(async {
        let mut ready = sender.clone().ready().await?;
        let is_last = body.is_empty() && trailers.is_empty();
        let (response, mut stream) = ready.send_request(head, is_last)?;
        if !is_last {
            // Refused by a proxy that has answered already.
            let _ = stream.send_data(body.into(), trailers.is_empty());
            if !trailers.is_empty() {
                let _ = stream.send_trailers(trailers);
            }
        }
        let response = response.await?;
        let (parts, incoming) = response.into_parts();
        let mut one = json!({
            "status": parts.status.as_u16().to_string(),
            "headers": wire::headers(&list(&parts.headers)),
        });
        read(incoming).await.add_to(&mut one);
        Ok(one)
    });
    match outcome.await {
        Ok(response) => told["responses"] = json!([response]),
        Err(how) => told["connection"] = json!(how),
    }
    let reusable = told["connection"] == "open";
    Ok((told, reusable))
}

async fn in_time<T>(what: impl Future<Output = Result<T, h2::Error>>) -> Result<T, String> {
    match timeout(SILENCE, what).await {
        Err(_) => Err(End::Silent.word()),
        Ok(outcome) => outcome.map_err(|error| how(&error)),
    }
}

/// How a stream or a connection ended.
fn how(error: &h2::Error) -> String {
    match error.reason() {
        Some(reason) if error.is_go_away() => format!("GOAWAY {reason:?}"),
        Some(reason) => format!("RST_STREAM {reason:?}"),
        None => error.get_io().map_or(End::Reset, End::of).word(),
    }
}

/// A body as far as it comes.
pub(crate) async fn read(mut incoming: RecvStream) -> Body {
    let mut body = Body::default();
    let outcome = in_time(async {
        while let Some(data) = incoming.data().await {
            let data = data?;
            incoming.flow_control().release_capacity(data.len())?;
            body.text.push_str(&wire::text(&data));
        }
        if let Some(trailers) = incoming.trailers().await? {
            body.trailers = list(&trailers);
        }
        Ok(())
    });
    body.cut = outcome.await.err();
    body
}

fn head(request: &Request) -> Result<http::Request<()>> {
    let (method, path) = request.line();
    let scheme = if request.tls.is_some() { "https" } else { "http" };
    let host = request.host.as_deref().unwrap_or("conform");
    let builder = http::Request::builder().method(method);
    let mut head = match method {
        "CONNECT" => builder.uri(host).body(())?,
        _ => builder.uri(format!("{scheme}://{host}{path}")).body(())?,
    };
    *head.headers_mut() = map(&request.headers)?;
    Ok(head)
}

/// Headers for HTTP/2.
///
/// # Errors
/// When HTTP/2 has no such header.
pub(crate) fn map(headers: &Headers) -> Result<HeaderMap> {
    let header = |(name, value): &(String, String)| {
        let name = HeaderName::from_bytes(name.as_bytes()).with_context(|| name.clone())?;
        let value = HeaderValue::from_bytes(&wire::bytes(value)?).with_context(|| value.clone())?;
        Ok((name, value))
    };
    headers.0.iter().map(header).collect()
}

/// Headers as they are compared.
pub(crate) fn list(headers: &HeaderMap) -> Vec<(String, String)> {
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), wire::text(value.as_bytes()))
    };
    headers.iter().map(header).collect()
}
