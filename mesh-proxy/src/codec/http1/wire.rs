//! A connection's bytes: what was read and nobody has taken, what is to be written.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{BufMut as _, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::output::Output;
use crate::codec::Stall;
use crate::codec::watched::Watch;
use crate::config::BufferLimit;
use crate::transport::Io;

/// How much of a message is held until the peer takes it.
const HIGH_WATER: usize = 64 * 1024;

/// How much is read at once, to begin with and at most.
const ROOM: std::ops::RangeInclusive<usize> = 8 * 1024..=128 * 1024;

pub(super) struct Wire {
    /// `None` once it is closed.
    io: Option<Io>,
    pub(super) input: BytesMut,
    pub(super) output: Output,
    /// What the next read makes room for.
    room: usize,
    limit: BufferLimit,
    watch: Watch,
}

impl Wire {
    pub(super) fn new(io: Io, stall: Stall, limit: BufferLimit) -> Self {
        Self {
            io: Some(io),
            input: BytesMut::new(),
            output: Output::default(),
            room: *ROOM.start(),
            limit,
            watch: Watch::new(stall),
        }
    }

    /// Reads more; 0 bytes at the end.
    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(0)) };
        let spare = self.input.capacity() - self.input.len();
        if spare < ROOM.start() / 4 {
            self.input.reserve(self.room);
        }
        let most = self.limit.within(*ROOM.end());
        let spare = (self.input.capacity() - self.input.len()).min(most);
        let mut room = (&mut self.input).limit(spare);
        let count = ready!(pin!(io.read_buf(&mut room)).poll(cx))?;
        // Much comes: the next read gets more. Little comes: it need not.
        if count == spare {
            self.room = (self.room * 2).min(most);
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(*ROOM.start());
        }
        Poll::Ready(Ok(count))
    }

    /// Whether there is as much to be written as is held at most.
    pub(super) fn is_full(&self) -> bool {
        self.output.len() >= self.limit.within(HIGH_WATER)
    }

    /// Writes all that is to be written.
    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        while !self.output.is_empty() {
            let written = self.output.poll_write(Pin::new(io), cx);
            ready!(self.watch.note(written))?;
        }
        Pin::new(io).poll_flush(cx)
    }

    /// Ends this side.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else { return Poll::Ready(Ok(())) };
        Pin::new(io).poll_shutdown(cx)
    }

    /// Closes the connection for everybody but the caller, who may close it more slowly.
    pub(super) fn close(&mut self) -> Option<Io> {
        self.io.take()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.io.is_none()
    }

    /// Gives back the room of what was read, when there is none: most connections are idle.
    pub(super) fn shrink(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_limit_is_for_what_is_read_at_once_and_for_what_waits() {
        const SIZE: usize = 1024 * 1024;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (io, _) = listener.accept().await.unwrap();
        let mut wire = Wire::new(Io::Plain(io), Stall::default(), BufferLimit::new(Some(20_000)));
        let write = async { client.write_all(&[b'x'; SIZE]).await.unwrap() };
        let read = async {
            let (mut got, mut most) = (0, 0);
            while got < SIZE {
                let count = poll_fn(|cx| wire.poll_fill(cx)).await.unwrap();
                drop(wire.input.split());
                (got, most) = (got + count, most.max(count));
            }
            most
        };
        let ((), most) = tokio::join!(write, read);
        assert!((1..=20_000).contains(&most), "{most}");
        wire.output.push(vec![b'x'; 19_999].into());
        assert!(!wire.is_full());
        wire.output.push("x".into());
        assert!(wire.is_full());
    }
}
