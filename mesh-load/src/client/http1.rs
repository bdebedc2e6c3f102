//! HTTP/1.1 with kept-alive connections.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;

use super::{Failed, Kind, in_time};
use crate::failure::Failure;
use crate::upstream::SERVED_BY;

const NAME: &str = "HTTP/1.1";

/// A connection that may be used once more.
struct Kept {
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

pub(super) async fn run(kind: Arc<Kind>, index: u32) {
    let mut pace = kind.pace(index);
    let mut kept = None;
    let mut seed = u64::from(index) << 32;
    while let Some(start) = pace.next().await {
        seed += 1;
        let outcome = in_time(exchange(&kind, &mut kept, seed)).await;
        kind.enter(outcome, start, &pace).await;
    }
}

/// One request; keeps the connection when it may be kept.
async fn exchange(kind: &Kind, kept: &mut Option<Kept>, seed: u64) -> Result<(), Failed> {
    let mut request = request(kind, seed);
    loop {
        // Taken out, so that a failure, or a timeout, leaves none.
        let mut used = match kept.take() {
            Some(used) if !used.sender.is_closed() => used,
            _ => connect(kind).await?,
        };
        let since = used.since;
        let response = match used.sender.try_send_request(request).await {
            Ok(response) => response,
            Err(mut error) => match error.take_message() {
                // Closed before any of it was sent.
                Some(unsent) => {
                    request = unsent;
                    continue;
                }
                None => return Err(no_answer(error.error()).on(since)),
            },
        };
        let close = says_close(&response);
        read(kind, response, seed).await.map_err(|failure| failure.on(since))?;
        if !close && used.sender.ready().await.is_ok() {
            *kept = Some(used);
        }
        return Ok(());
    }
}

async fn connect(kind: &Kind) -> Result<Kept, Failed> {
    let connection = kind.connector.connect(&kind.book).await?;
    let since = connection.since;
    let (sender, driver) = http1::handshake(TokioIo::new(connection.stream))
        .await
        .map_err(|error| Failure::Begin(NAME, error.to_string()).on(since))?;
    // Its errors reach the requests.
    tokio::spawn(driver);
    Ok(Kept { sender, since })
}

/// GET and POST in turn, or always the same GET.
fn request(kind: &Kind, seed: u64) -> Request<Full<Bytes>> {
    let (builder, body) = match &kind.clients.path {
        Some(path) => (Request::get(path), Bytes::new()),
        None if seed.is_multiple_of(2) => (Request::get(kind.path(seed)), Bytes::new()),
        None => (Request::post("/echo"), kind.body(seed)),
    };
    let request = builder.header(header::HOST, kind.connector.address()).body(Full::new(body));
    // The parts are all valid.
    let mut request = request.unwrap_or_default();
    let more = kind.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
    request.headers_mut().extend(more);
    request
}

async fn read(kind: &Kind, response: Response<Incoming>, seed: u64) -> Result<(), Failure> {
    let status = response.status();
    let server = response.headers().get(SERVED_BY).cloned();
    let body = response.into_body().collect().await;
    let body = body.map_err(|error| Failure::Cut(NAME, error.to_string()))?.to_bytes();
    if status != 200 {
        let said = String::from_utf8_lossy(&body).into_owned();
        return Err(Failure::Status(NAME, status.as_u16(), said));
    }
    if let Some(server) = server.as_ref().and_then(|server| server.to_str().ok()) {
        kind.book.served_by(server);
    }
    match kind.clients.path {
        Some(_) => Ok(()),
        None => kind.check(NAME, &kind.body(seed), &body),
    }
}

fn says_close(response: &Response<Incoming>) -> bool {
    let value = response.headers().get(header::CONNECTION);
    value.is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}

fn no_answer(error: &hyper::Error) -> Failure {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    Failure::NoAnswer(NAME, format!("{error}{}", cause.unwrap_or_default()))
}
