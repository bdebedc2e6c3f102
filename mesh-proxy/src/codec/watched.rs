//! A client's connection that can tell when the client does not read.

use std::cell::Cell;
use std::future::pending;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Io;

/// A connection that notes when it takes nothing more to write.
pub(super) struct Watched {
    io: Io,
    watch: Watch,
}

/// Notes in a [`Stall`] what becomes of writes.
pub(super) struct Watch {
    stall: Stall,
    is_stalled: bool,
    stalls: u64,
}

/// Whether a connection is stalled: 0, or the number of the stall.
#[derive(Clone, Default)]
pub(crate) struct Stall(Rc<Cell<u64>>);

impl Watched {
    pub(super) fn new(io: Io, stall: Stall) -> Self {
        Self { io, watch: Watch::new(stall) }
    }
}

impl Watch {
    pub(super) fn new(stall: Stall) -> Self {
        Self { stall, is_stalled: false, stalls: 0 }
    }

    /// Gives back what a write gave.
    pub(super) fn note<T>(&mut self, polled: Poll<T>) -> Poll<T> {
        if polled.is_pending() && !self.is_stalled {
            self.is_stalled = true;
            self.stalls += 1;
            self.stall.0.set(self.stalls);
        } else if polled.is_ready() && self.is_stalled {
            self.is_stalled = false;
            self.stall.0.set(0);
        }
        polled
    }
}

impl Stall {
    /// Waits until nothing could be written for `timeout`, or up to twice that.
    pub(crate) async fn lasts(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return pending().await };
        loop {
            let before = self.0.get();
            tokio::time::sleep(timeout).await;
            if before != 0 && self.0.get() == before {
                return;
            }
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.watch.note(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.watch.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
