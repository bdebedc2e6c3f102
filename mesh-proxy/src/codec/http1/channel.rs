//! A connection, and the message that is being read from it.

use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::Frame;

use super::decode::{Decoder, Piece};
use super::wire::Wire;
use super::{Limits, Malformed};
use crate::codec::BodyError;

/// How much of the next messages is read while this one is not answered.
const MAX_AHEAD: usize = 16 * 1024;

/// What the reader of a body and whoever serves its connection share.
pub(super) struct Channel {
    pub(super) wire: Wire,
    pub(super) decoder: Decoder,
    /// Numbers the messages: who still holds an old body does not read the next one.
    pub(super) message: u64,
    /// Of trailers.
    pub(super) limits: Limits,
    /// `enable_trailers`: they are dropped otherwise, as in Envoy.
    pub(super) keeps_trailers: bool,
    /// Of a client: when it goes, whoever serves the connection ends all that is at work.
    is_client: bool,
    /// The client has gone in the middle of its message.
    is_gone: bool,
    /// Who waits for the peer to go once the message has been read.
    pub(super) watcher: Option<Waker>,
}

impl Channel {
    /// A connection to an upstream.
    pub(super) fn of_upstream(wire: Wire, limits: Limits, keeps_trailers: bool) -> Self {
        Self {
            wire,
            decoder: Decoder::Done,
            message: 0,
            limits,
            keeps_trailers,
            is_client: false,
            is_gone: false,
            watcher: None,
        }
    }

    /// A client's connection.
    pub(super) fn of_client(wire: Wire, limits: Limits, keeps_trailers: bool) -> Self {
        Self { is_client: true, ..Self::of_upstream(wire, limits, keeps_trailers) }
    }

    /// Begins to read the body of the next message.
    pub(super) fn begin(&mut self, decoder: Decoder) -> u64 {
        self.decoder = decoder;
        self.message += 1;
        self.message
    }

    /// Tells a client to go on with its request, when whoever serves it writes next.
    pub(super) fn say_continue(&mut self) {
        self.wire.output.text().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
    }

    /// The next frame of the message's body.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let piece = ready!(self.poll_piece(cx));
        if self.decoder.is_done()
            && let Some(watcher) = self.watcher.take()
            && !watcher.will_wake(cx.waker())
        {
            watcher.wake();
        }
        Poll::Ready(match piece {
            Ok(Piece::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Piece::Trailers(trailers)) if self.keeps_trailers => {
                Some(Ok(Frame::trailers(trailers)))
            }
            Ok(Piece::Trailers(_) | Piece::End) => None,
            Err(error) => Some(Err(error)),
        })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BodyError>> {
        loop {
            let decoded = self.decoder.decode(&mut self.wire.input, self.limits);
            if let Some(piece) = decoded.map_err(BodyError::Malformed)? {
                return Poll::Ready(Ok(piece));
            }
            let is_closed = self.wire.is_closed();
            match ready!(self.wire.poll_fill(cx)) {
                Ok(0) if matches!(self.decoder, Decoder::UntilClose) && !is_closed => {
                    self.decoder = Decoder::Done;
                    return Poll::Ready(Ok(Piece::End));
                }
                Ok(0) | Err(_) if self.is_client && !is_closed => return self.leave(),
                // A body that is cut breaks the protocol, as in Envoy.
                Ok(0) if !is_closed => {
                    return Poll::Ready(Err(BodyError::Malformed(Malformed::Cut)));
                }
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Err(BodyError::Connection(error)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(BodyError::Connection(error))),
            }
        }
    }

    /// The client goes, and all that is at work for it: nobody needs to hear of an error.
    fn leave<T>(&mut self) -> Poll<T> {
        self.is_gone = true;
        if let Some(watcher) = self.watcher.take() {
            watcher.wake();
        }
        Poll::Pending
    }

    /// Ready when the peer is gone, which can be told when its message has been read.
    pub(super) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_gone {
            return Poll::Ready(());
        }
        if !self.decoder.is_done() {
            self.watcher = Some(cx.waker().clone());
            return Poll::Pending;
        }
        while self.wire.input.len() < MAX_AHEAD {
            match ready!(self.wire.poll_fill(cx)) {
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => {}
            }
        }
        Poll::Pending
    }
}

impl From<Malformed> for BodyError {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error)
    }
}
