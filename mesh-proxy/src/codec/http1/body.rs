//! The body of a message, read from its connection when somebody asks.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};

use super::channel::Channel;
use super::client::Pump;
use super::decode::Decoder;
use crate::codec::BodyError;

/// A body that still has something to come.
pub(in crate::codec) struct Http1Body {
    channel: Rc<RefCell<Channel>>,
    message: u64,
    /// Of a response: the rest of its request is on its way.
    _pump: Option<Pump>,
}

impl Http1Body {
    pub(super) fn new(channel: &Rc<RefCell<Channel>>, message: u64, pump: Option<Pump>) -> Self {
        Self { channel: Rc::clone(channel), message, _pump: pump }
    }

    pub(in crate::codec) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut channel = self.channel.borrow_mut();
        if channel.message != self.message {
            return Poll::Ready(None);
        }
        channel.poll_frame(cx)
    }

    /// Lets the client go on with this body, when nothing of it has come yet.
    pub(in crate::codec) fn proceed(&self) {
        let mut channel = self.channel.borrow_mut();
        if channel.message == self.message && channel.wire.input.is_empty() {
            channel.say_continue();
        }
    }

    pub(in crate::codec) fn is_end_stream(&self) -> bool {
        let channel = self.channel.borrow();
        channel.message != self.message || channel.decoder.is_done()
    }

    pub(in crate::codec) fn size_hint(&self) -> SizeHint {
        match self.channel.borrow().decoder {
            Decoder::Done => SizeHint::with_exact(0),
            Decoder::Length(left) => SizeHint::with_exact(left),
            Decoder::Chunked(_) | Decoder::UntilClose => SizeHint::default(),
        }
    }
}
