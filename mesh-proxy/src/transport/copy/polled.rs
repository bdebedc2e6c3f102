//! Copying where an end is inside TLS: its bytes come and go through the session, which
//! may have more to send than what it was given.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::{BUFFER, Count, End, Failure, Flow};
use crate::transport::Io;

/// One direction.
struct Way {
    /// How much is read at once.
    chunk: usize,
    /// What was read and not yet written.
    rest: Vec<u8>,
    written: usize,
    stage: Stage,
}

enum Stage {
    Copying,
    /// The reader has said all; the writer is to be told.
    Closing,
    Closed,
}

/// Copies until both directions have ended.
pub(super) async fn both(
    downstream: &mut Io,
    upstream: &mut Io,
    flow: &Flow<'_>,
    chunk: usize,
) -> Result<(), End> {
    let (mut up, mut down) = (Way::new(chunk), Way::new(chunk));
    poll_fn(|cx| {
        let up = up.poll(cx, downstream, upstream, flow, &flow.received);
        let up = up.map_err(Failure::up)?;
        let down = down.poll(cx, upstream, downstream, flow, &flow.sent);
        let down = down.map_err(Failure::down)?;
        ready!(up);
        ready!(down);
        Poll::Ready(Ok(()))
    })
    .await
}

impl Way {
    fn new(chunk: usize) -> Self {
        Self { chunk, rest: Vec::new(), written: 0, stage: Stage::Copying }
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Io,
        to: &mut Io,
        flow: &Flow<'_>,
        count: &Count<'_>,
    ) -> Poll<Result<(), Failure>> {
        loop {
            match self.stage {
                Stage::Copying => {
                    ready!(self.poll_rest(cx, to, flow)).map_err(Failure::Write)?;
                    let Poll::Ready(read) = self.poll_step(cx, from, to)? else {
                        // The session may hold a record that the socket did not take.
                        if let Poll::Ready(Err(error)) = Pin::new(to).poll_flush(cx) {
                            return Poll::Ready(Err(Failure::Write(error)));
                        }
                        return Poll::Pending;
                    };
                    match read {
                        0 => self.stage = Stage::Closing,
                        read => flow.add(count, read),
                    }
                }
                Stage::Closing => {
                    // A connection that is gone already needs not be told.
                    let _ = ready!(Pin::new(&mut *to).poll_shutdown(cx));
                    self.stage = Stage::Closed;
                }
                Stage::Closed => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Reads once and writes of it what is taken now; gives how much was read.
    fn poll_step(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Io,
        to: &mut Io,
    ) -> Poll<Result<usize, Failure>> {
        BUFFER.with_borrow_mut(|buffer| {
            let chunk = self.chunk.min(buffer.len());
            let mut buffer = ReadBuf::new(&mut buffer[..chunk]);
            ready!(Pin::new(from).poll_read(cx, &mut buffer)).map_err(Failure::Read)?;
            let bytes = buffer.filled();
            if bytes.is_empty() {
                return Poll::Ready(Ok(0));
            }
            let written = match Pin::new(to).poll_write(cx, bytes) {
                Poll::Ready(written) => written.map_err(Failure::Write)?,
                Poll::Pending => 0,
            };
            if written < bytes.len() {
                self.rest.extend_from_slice(&bytes[written..]);
            }
            Poll::Ready(Ok(bytes.len()))
        })
    }

    /// Writes what is left of the last read.
    fn poll_rest(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut Io,
        flow: &Flow<'_>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.rest.len() {
            let rest = &self.rest[self.written..];
            match ready!(Pin::new(&mut *to).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.written += written,
            }
            flow.last.set(Instant::now());
        }
        if self.written > 0 {
            (self.rest, self.written) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }
}
