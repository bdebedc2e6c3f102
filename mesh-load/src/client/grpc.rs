//! gRPC: streams on which messages go both ways for a while. Each message that comes back is
//! a request.

use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, header};
use tokio::task::JoinSet;

use super::shared::{self, Opened, Shared};
use super::{Failed, Kind, in_time};
use crate::failure::Failure;
use crate::pace::Pace;

const NAME: &str = "gRPC";

/// A message's first five bytes: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Starts the streams of one connection.
pub(super) fn start(kind: &Arc<Kind>, connection: u32, running: &mut JoinSet<()>) {
    let shared = Arc::new(Shared::new(kind));
    for stream in 0..kind.clients.streams {
        let index = connection * kind.clients.streams + stream;
        running.spawn(run(Arc::clone(kind), Arc::clone(&shared), index));
    }
}

async fn run(kind: Arc<Kind>, shared: Arc<Shared>, index: u32) {
    let mut pace = kind.pace(index);
    let mut seed = u64::from(index) << 32;
    while let Some(start) = pace.next().await {
        if let Err(failed) = stream(&kind, &shared, &mut pace, start, &mut seed).await {
            kind.enter(Err(failed), start, &pace).await;
        }
    }
}

/// One stream, from its first message, due at `start`, to its status.
async fn stream(
    kind: &Kind,
    shared: &Shared,
    pace: &mut Pace,
    start: Instant,
    seed: &mut u64,
) -> Result<(), Failed> {
    *seed += 1;
    let (mut call, since) = in_time(begin(kind, shared, *seed)).await?;
    kind.book.answered(start);
    for _ in 1..kind.clients.messages {
        let Some(start) = pace.next().await else { break };
        *seed += 1;
        let answered = in_time(async {
            call.say(message(&kind.body(*seed)), false);
            call.hear(kind, *seed).await.map_err(|failure| failure.on(since))
        });
        answered.await.map_err(|failed| Failed { connected: Some(since), ..failed })?;
        kind.book.answered(start);
    }
    call.say(Bytes::new(), true);
    in_time(async { call.end().await.map_err(|failure| failure.on(since)) }).await
}

/// A stream that has given its first message back.
struct Call {
    body: SendStream<Bytes>,
    answer: RecvStream,
    /// What came of the next message.
    buffer: BytesMut,
}

/// Opens a stream and has its first message back; again as long as it is refused.
async fn begin(kind: &Kind, shared: &Shared, seed: u64) -> Result<(Call, Instant), Failed> {
    loop {
        let Opened { response, mut body, since } = shared.open(|| request(kind), false).await?;
        let _ = body.send_data(message(&kind.body(seed)), false);
        match response.await {
            Ok(response) => {
                shared::check_status(&response).map_err(|failure| failure.on(since))?;
                let answer = response.into_body();
                let mut call = Call { body, answer, buffer: BytesMut::new() };
                call.hear(kind, seed).await.map_err(|failure| failure.on(since))?;
                return Ok((call, since));
            }
            Err(error) if shared::is_refused(&error) => {
                shared.forget(since).await;
                kind.book.sent_again();
            }
            Err(error) => {
                if error.is_io() {
                    shared.forget(since).await;
                }
                return Err(shared::lost(&error, false).on(since));
            }
        }
    }
}

impl Call {
    /// An error is the stream's, and what is heard next has it too.
    fn say(&mut self, data: Bytes, end: bool) {
        let _ = self.body.send_data(data, end);
    }

    async fn hear(&mut self, kind: &Kind, seed: u64) -> Result<(), Failure> {
        loop {
            if let Some(message) = take_message(&mut self.buffer) {
                return kind.check(NAME, &kind.body(seed), &message);
            }
            match shared::piece(&mut self.answer).await? {
                Some(piece) => self.buffer.extend_from_slice(&piece),
                None => return Err(self.early().await),
            }
        }
    }

    /// The stream has ended, but should not have.
    async fn early(&mut self) -> Failure {
        match shared::trailers(&mut self.answer).await {
            Ok(trailers) => Failure::Cut(NAME, format!("ended with {trailers:?}")),
            Err(failure) => failure,
        }
    }

    async fn end(&mut self) -> Result<(), Failure> {
        while let Some(piece) = shared::piece(&mut self.answer).await? {
            self.buffer.extend_from_slice(&piece);
        }
        let trailers = shared::trailers(&mut self.answer).await?;
        let good = |trailers: &HeaderMap| trailers.get("grpc-status").is_some_and(|it| it == "0");
        if self.buffer.is_empty() && trailers.as_ref().is_some_and(good) {
            return Ok(());
        }
        let left = self.buffer.len();
        Err(Failure::Wrong(NAME, format!("{left} bytes too many, ended with {trailers:?}")))
    }
}

fn request(kind: &Kind) -> Request<()> {
    let host = kind.connector.address();
    Request::post(format!("http://{host}/mesh.load.Echo/Stream"))
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .body(())
        // The parts are all valid.
        .unwrap_or_default()
}

fn message(body: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(PREFIX + body.len());
    message.put_u8(0);
    message.put_u32(u32::try_from(body.len()).unwrap_or(u32::MAX));
    message.put_slice(body);
    message.freeze()
}

fn take_message(buffer: &mut BytesMut) -> Option<Bytes> {
    let prefix = buffer.first_chunk::<PREFIX>()?;
    let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
    if buffer.len() < PREFIX + length {
        return None;
    }
    buffer.advance(PREFIX);
    Some(buffer.split_to(length).freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_found_in_pieces() {
        let sent = [message(b"hello"), message(b"")].concat();
        let mut buffer = BytesMut::from(&sent[..7]);
        assert_eq!(take_message(&mut buffer), None);
        buffer.extend_from_slice(&sent[7..]);
        assert_eq!(take_message(&mut buffer).unwrap(), "hello");
        assert_eq!(take_message(&mut buffer).unwrap(), "");
        assert_eq!(take_message(&mut buffer), None);
    }
}
