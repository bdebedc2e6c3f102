//! Bodies: streams of frames, which nobody boxes or buffers.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full};

use super::http1::Http1Body;
use super::http2::Http2Body;
use super::tee::{Copied, Tee};
use super::{BodyError, Replay};

/// The body of a request or a response.
#[derive(Default)]
pub(crate) struct Body {
    kind: Kind,
    meter: Option<Rc<Meter>>,
}

#[derive(Default)]
enum Kind {
    #[default]
    Empty,
    Full(Bytes),
    Http1(Http1Body),
    Http2(Http2Body),
    Replay(Replay),
    Tee(Box<Tee>),
    Copied(Copied),
    /// What a filter has made. Boxed, as it is rare.
    Wrapped(Box<Wrapped>),
}

type Wrapped = dyn http_body::Body<Data = Bytes, Error = BodyError> + Unpin;

/// What has passed through a body, for those that do not own it.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes: Cell<u64>,
    last: Cell<Option<Instant>>,
    ended: Cell<Option<Instant>>,
    is_broken: Cell<bool>,
}

impl Body {
    pub(crate) fn empty() -> Self {
        Self::default()
    }

    /// A body that is known as a whole.
    pub(crate) fn full(bytes: Bytes) -> Self {
        let kind = if bytes.is_empty() { Kind::Empty } else { Kind::Full(bytes) };
        Self { kind, meter: None }
    }

    pub(super) fn http1(body: Http1Body) -> Self {
        Self { kind: Kind::Http1(body), meter: None }
    }

    pub(super) fn http2(body: Http2Body) -> Self {
        Self { kind: Kind::Http2(body), meter: None }
    }

    pub(super) fn replay(replay: Replay) -> Self {
        Self { kind: Kind::Replay(replay), meter: None }
    }

    pub(super) fn tee(tee: Tee) -> Self {
        Self { kind: Kind::Tee(Box::new(tee)), meter: None }
    }

    pub(super) fn copied(copied: Copied) -> Self {
        Self { kind: Kind::Copied(copied), meter: None }
    }

    /// Tells an HTTP/1 client that waits for it to go on with this body (`100 Continue`).
    pub(super) fn proceed(&self) {
        match &self.kind {
            Kind::Http1(body) => body.proceed(),
            Kind::Replay(replay) => replay.proceed(),
            Kind::Tee(tee) => tee.proceed(),
            Kind::Empty | Kind::Full(_) | Kind::Http2(_) | Kind::Copied(_) | Kind::Wrapped(_) => {}
        }
    }

    /// A body that is made of another one.
    pub(crate) fn wrapped(
        body: impl http_body::Body<Data = Bytes, Error = BodyError> + Unpin + 'static,
    ) -> Self {
        Self { kind: Kind::Wrapped(Box::new(body)), meter: None }
    }

    /// Bytes that are known as a whole, and what comes behind them.
    pub(crate) fn whole(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        let Some(trailers) = trailers else { return Self::full(bytes) };
        let body = Full::new(bytes).map_err(|never| match never {});
        Self::wrapped(body.with_trailers(std::future::ready(Some(Ok(trailers)))))
    }

    /// Whether there is nothing to come, as far as is known now.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_end_stream()
    }

    /// Counts from now on what passes through; it stays with the body wherever it goes.
    pub(crate) fn metered(mut self) -> (Self, Rc<Meter>) {
        let meter = self.meter.get_or_insert_default().clone();
        (self, meter)
    }

    fn poll_kind(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.kind {
            Kind::Empty => Poll::Ready(None),
            Kind::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                self.kind = Kind::Empty;
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Kind::Http1(body) => body.poll_frame(cx),
            Kind::Http2(body) => body.poll_frame(cx),
            Kind::Replay(replay) => replay.poll_frame(cx),
            Kind::Tee(tee) => tee.poll_frame(cx),
            Kind::Copied(copied) => copied.poll_frame(cx),
            Kind::Wrapped(body) => Pin::new(&mut **body).poll_frame(cx),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("is_empty", &self.is_empty()).finish_non_exhaustive()
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let frame = ready!(this.poll_kind(cx));
        if let Some(meter) = &this.meter {
            meter.see(frame.as_ref(), this.is_end_stream());
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Full(_) => false,
            Kind::Http1(body) => body.is_end_stream(),
            Kind::Http2(body) => body.is_end_stream(),
            Kind::Replay(replay) => replay.is_end_stream(),
            Kind::Tee(tee) => tee.is_end_stream(),
            Kind::Copied(copied) => copied.is_end_stream(),
            Kind::Wrapped(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Http1(body) => body.size_hint(),
            Kind::Http2(_) | Kind::Replay(_) | Kind::Tee(_) | Kind::Copied(_) => {
                SizeHint::default()
            }
            Kind::Wrapped(body) => body.size_hint(),
        }
    }
}

impl Meter {
    /// The bytes of data that passed.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// When something passed last.
    pub(crate) fn last(&self) -> Option<Instant> {
        self.last.get()
    }

    /// When the body came to its end, well or not.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended.get()
    }

    /// Whether the body came to a bad end.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_broken.get()
    }

    fn see(&self, frame: Option<&Result<Frame<Bytes>, BodyError>>, is_last: bool) {
        let now = Some(Instant::now());
        self.last.set(now);
        let Some(Ok(frame)) = frame else {
            self.is_broken.set(self.is_broken.get() || frame.is_some());
            return self.ended.set(now);
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        self.bytes.set(self.bytes.get() + length as u64);
        if is_last || frame.is_trailers() {
            self.ended.set(now);
        }
    }
}
