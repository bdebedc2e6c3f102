//! TCP: messages that come back, then a half-close, which is answered with the number of
//! bytes that came before it, and an end.

use std::sync::Arc;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Failed, Kind, in_time};
use crate::connect::Stream;
use crate::failure::Failure;
use crate::pace::Pace;

const NAME: &str = "TCP";

pub(super) async fn run(kind: Arc<Kind>, index: u32) {
    let mut pace = kind.pace(index);
    let mut seed = u64::from(index) << 32;
    while let Some(start) = pace.next().await {
        if let Err(failed) = connection(&kind, &mut pace, start, &mut seed).await {
            kind.enter(Err(failed), start, &pace).await;
        }
    }
}

/// One connection, whose first message is due at `start`.
async fn connection(
    kind: &Kind,
    pace: &mut Pace,
    start: Instant,
    seed: &mut u64,
) -> Result<(), Failed> {
    let connect = async { Ok(kind.connector.connect(&kind.book).await?) };
    let mut connection = in_time(connect).await?;
    let (stream, since) = (&mut connection.stream, connection.since);
    let mut due = Some(start);
    let mut sent = 0;
    let mut buffer = vec![0; kind.clients.body];
    for _ in 0..kind.clients.messages {
        let Some(start) = due else { break };
        *seed += 1;
        let echoed = echo(kind, stream, *seed, &mut buffer, sent > 0);
        in_time(async { echoed.await.map_err(|failure| failure.on(since)) }).await?;
        kind.book.answered(start);
        sent += buffer.len() as u64;
        due = pace.next().await;
    }
    in_time(async { end(stream, sent).await.map_err(|failure| failure.on(since)) }).await
}

async fn echo(
    kind: &Kind,
    stream: &mut Box<dyn Stream>,
    seed: u64,
    buffer: &mut [u8],
    answered: bool,
) -> Result<(), Failure> {
    let body = kind.body(seed);
    let exchanged = async {
        stream.write_all(&body).await?;
        stream.flush().await?;
        stream.read_exact(buffer).await
    };
    match exchanged.await {
        Ok(_) => kind.check(NAME, &body, buffer),
        Err(error) if answered => Err(Failure::Cut(NAME, error.to_string())),
        Err(error) => Err(Failure::NoAnswer(NAME, error.to_string())),
    }
}

async fn end(stream: &mut Box<dyn Stream>, sent: u64) -> Result<(), Failure> {
    let mut rest = Vec::new();
    let ended = async {
        stream.shutdown().await?;
        stream.read_to_end(&mut rest).await
    };
    ended.await.map_err(|error| Failure::Cut(NAME, format!("after the half-close: {error}")))?;
    if rest == sent.to_be_bytes() {
        return Ok(());
    }
    let length = rest.len();
    Err(Failure::Cut(NAME, format!("after the half-close: {length} bytes, not those expected")))
}
