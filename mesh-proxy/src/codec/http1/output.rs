//! What is to be written.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWrite;

/// Data of up to this size is copied behind what is there, rather than written on its own.
const COPIED: usize = 4096;

/// How many parts go out with one call.
const MAX_PARTS: usize = 16;

/// Bytes in order: heads and small data copied together, large data as it is.
#[derive(Default)]
pub(super) struct Output {
    parts: VecDeque<Bytes>,
    tail: BytesMut,
    /// Of the parts.
    size: usize,
}

impl Output {
    pub(super) fn len(&self) -> usize {
        self.size + self.tail.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.tail.is_empty()
    }

    /// Where small things are appended.
    pub(super) fn text(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Appends data.
    pub(super) fn push(&mut self, data: Bytes) {
        if data.len() <= COPIED {
            return self.tail.extend_from_slice(&data);
        }
        if !self.tail.is_empty() {
            let before = self.tail.split().freeze();
            self.size += before.len();
            self.parts.push_back(before);
        }
        self.size += data.len();
        self.parts.push_back(data);
    }

    /// Writes some of it.
    pub(super) fn poll_write(
        &mut self,
        io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let written = if self.parts.is_empty() {
            ready!(io.poll_write(cx, &self.tail))?
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_PARTS];
            let parts = self.parts.iter().map(|part| &part[..]).chain([&self.tail[..]]);
            let count =
                slices.iter_mut().zip(parts).map(|(slice, part)| *slice = IoSlice::new(part));
            let count = count.count();
            ready!(io.poll_write_vectored(cx, &slices[..count]))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(()))
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(first) = self.parts.front_mut() {
            let of_first = written.min(first.len());
            first.advance(of_first);
            self.size -= of_first;
            written -= of_first;
            if !first.is_empty() {
                return;
            }
            self.parts.pop_front();
        }
        if written == self.tail.len() {
            // Keeps the room for what comes next.
            self.tail.clear();
        } else {
            self.tail.advance(written);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[tokio::test]
    async fn everything_goes_out_in_order() {
        let large = Bytes::from(vec![b'x'; COPIED + 1]);
        let mut output = Output::default();
        output.text().extend_from_slice(b"head");
        output.push(large.clone());
        output.push(Bytes::from_static(b"small"));
        output.push(large.clone());
        let expected = [b"head", &large[..], b"small", &large[..]].concat();
        assert_eq!(output.len(), expected.len());
        // Takes some at a time.
        let mut sink = tokio_test_sink::Sink::default();
        let mut cx = Context::from_waker(Waker::noop());
        while !output.is_empty() {
            assert!(output.poll_write(Pin::new(&mut sink), &mut cx).is_ready());
        }
        assert_eq!(sink.0, expected);
        assert_eq!(output.len(), 0);
    }

    mod tokio_test_sink {
        use super::*;

        #[derive(Default)]
        pub(super) struct Sink(pub(super) Vec<u8>);

        impl AsyncWrite for Sink {
            fn poll_write(
                mut self: Pin<&mut Self>,
                _: &mut Context<'_>,
                bytes: &[u8],
            ) -> Poll<io::Result<usize>> {
                let count = bytes.len().min(999);
                self.0.extend_from_slice(&bytes[..count]);
                Poll::Ready(Ok(count))
            }

            fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }

            fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
                Poll::Ready(Ok(()))
            }
        }
    }
}
