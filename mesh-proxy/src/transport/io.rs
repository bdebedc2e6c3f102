//! A connection's bytes, on either side: plain, or inside TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// A connection. TLS is behind a box, so that a plain one carries nothing of it.
pub(crate) enum Io {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// A TLS connection after its handshake, of either role.
pub(crate) struct Tls {
    stream: TlsStream<TcpStream>,
    /// What was looked at and nobody has read yet.
    unread: Vec<u8>,
}

impl Io {
    /// A connection whose handshake is done.
    pub(crate) fn tls(stream: impl Into<TlsStream<TcpStream>>) -> Self {
        Self::Tls(Box::new(Tls { stream: stream.into(), unread: Vec::new() }))
    }
}

impl Tls {
    /// Waits for more than was looked at so far, and gives all of that, at most `max` bytes;
    /// the next read begins with it. No more comes when it gives what was there already.
    /// Cancel-safe.
    pub(crate) async fn look(&mut self, max: usize) -> io::Result<&[u8]> {
        std::future::poll_fn(|cx| {
            let mut some = [0; 64];
            let room = max.saturating_sub(self.unread.len()).min(some.len());
            let mut buffer = ReadBuf::new(&mut some[..room]);
            ready!(poll_read(&mut self.stream, cx, &mut buffer))?;
            self.unread.extend_from_slice(buffer.filled());
            Poll::Ready(io::Result::Ok(()))
        })
        .await?;
        Ok(&self.unread)
    }
}

/// A peer that goes without a close_notify has ended its direction all the same, as in
/// Envoy: whether a message was whole is for its own protocol to say.
fn poll_read(
    stream: &mut TlsStream<TcpStream>,
    cx: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    match ready!(Pin::new(stream).poll_read(cx, buffer)) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(())),
        read => Poll::Ready(read),
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let tls = match self.get_mut() {
            Self::Plain(io) => return Pin::new(io).poll_read(cx, buffer),
            Self::Tls(tls) => tls,
        };
        if tls.unread.is_empty() {
            return poll_read(&mut tls.stream, cx, buffer);
        }
        let count = buffer.remaining().min(tls.unread.len());
        buffer.put_slice(&tls.unread[..count]);
        tls.unread.drain(..count);
        if tls.unread.is_empty() {
            tls.unread = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, bytes),
        }
    }

    /// With TLS, what fits into a record goes out as one.
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_flush(cx),
        }
    }

    /// Ends the direction: with TLS by a close_notify first.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
