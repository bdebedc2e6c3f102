//! WebSockets: messages on an upgraded connection, then a good end, and the next one.

use std::sync::Arc;
use std::time::Instant;

use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{Failed, Kind, in_time};
use crate::connect::Stream;
use crate::failure::Failure;
use crate::pace::Pace;

const NAME: &str = "WebSocket";

type Socket = WebSocketStream<Box<dyn Stream>>;

pub(super) async fn run(kind: Arc<Kind>, index: u32) {
    let mut pace = kind.pace(index);
    let mut seed = u64::from(index) << 32;
    while let Some(start) = pace.next().await {
        if let Err(failed) = socket(&kind, &mut pace, start, &mut seed).await {
            kind.enter(Err(failed), start, &pace).await;
        }
    }
}

/// One connection, whose first message is due at `start`.
async fn socket(
    kind: &Kind,
    pace: &mut Pace,
    start: Instant,
    seed: &mut u64,
) -> Result<(), Failed> {
    let (mut socket, since) = in_time(open(kind)).await?;
    let mut due = Some(start);
    for _ in 0..kind.clients.messages {
        let Some(start) = due else { break };
        *seed += 1;
        let echoed = echo(kind, &mut socket, *seed);
        in_time(async { echoed.await.map_err(|failure| failure.on(since)) }).await?;
        kind.book.answered(start);
        due = pace.next().await;
    }
    in_time(async { close(&mut socket).await.map_err(|failure| failure.on(since)) }).await
}

async fn open(kind: &Kind) -> Result<(Socket, Instant), Failed> {
    let connection = kind.connector.connect(&kind.book).await?;
    let url = format!("ws://{}/websocket", kind.connector.address());
    match client_async(url, connection.stream).await {
        Ok((socket, _)) => Ok((socket, connection.since)),
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let said = String::from_utf8_lossy(body).into_owned();
            Err(Failure::Status(NAME, response.status().as_u16(), said).on(connection.since))
        }
        Err(error) => Err(Failure::NoAnswer(NAME, error.to_string()).on(connection.since)),
    }
}

async fn echo(kind: &Kind, socket: &mut Socket, seed: u64) -> Result<(), Failure> {
    let cut = |error: Error| Failure::Cut(NAME, error.to_string());
    socket.send(Message::Binary(kind.body(seed))).await.map_err(cut)?;
    match socket.next().await {
        Some(Ok(Message::Binary(got))) => kind.check(NAME, &kind.body(seed), &got),
        Some(Ok(other)) => Err(Failure::Cut(NAME, format!("instead of a message: {other:?}"))),
        Some(Err(error)) => Err(cut(error)),
        None => Err(Failure::Cut(NAME, "ended".to_owned())),
    }
}

async fn close(socket: &mut Socket) -> Result<(), Failure> {
    let cut = |error: Error| Failure::Cut(NAME, format!("while closing: {error}"));
    socket.close(None).await.map_err(cut)?;
    match socket.next().await {
        Some(Ok(Message::Close(_))) | None => Ok(()),
        Some(Ok(other)) => Err(Failure::Wrong(NAME, format!("instead of the end: {other:?}"))),
        Some(Err(error)) => Err(cut(error)),
    }
}
