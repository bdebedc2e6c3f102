//! A connection's bytes: what was read and nobody has taken, what is to be written.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::output::Output;
use crate::codec::Stall;
use crate::codec::watched::Watch;
use crate::transport::Io;

/// How much is read at once, to begin with and at most.
const ROOM: std::ops::RangeInclusive<usize> = 8 * 1024..=128 * 1024;

pub(super) struct Wire {
    /// `None` once it is closed.
    io: Option<Io>,
    pub(super) input: BytesMut,
    pub(super) output: Output,
    /// What the next read makes room for.
    room: usize,
    watch: Watch,
}

impl Wire {
    pub(super) fn new(io: Io, stall: Stall) -> Self {
        Self {
            io: Some(io),
            input: BytesMut::new(),
            output: Output::default(),
            room: *ROOM.start(),
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
        let spare = self.input.capacity() - self.input.len();
        let count = ready!(pin!(io.read_buf(&mut self.input)).poll(cx))?;
        // Much comes: the next read gets more. Little comes: it need not.
        if count == spare {
            self.room = (self.room * 2).min(*ROOM.end());
        } else if count < self.room / 4 {
            self.room = (self.room / 2).max(*ROOM.start());
        }
        Poll::Ready(Ok(count))
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
