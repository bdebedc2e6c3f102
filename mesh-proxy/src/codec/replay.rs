//! Bodies that can be sent again, as long as they are small.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;

use super::{Body, BodyError};

/// A reader of a [`Recording`]. Only the newest one reads: whoever still holds an older one
/// gets an error, as must not look like the whole body.
pub(crate) struct Replay {
    recording: Rc<RefCell<State>>,
    generation: u64,
    /// How many frames were given out.
    position: usize,
}

/// Keeps what passed of a body, so that another try can have it from its beginning. What
/// is not there yet still streams from the source.
pub(crate) struct Recording(Rc<RefCell<State>>);

struct State {
    source: Body,
    kept: Vec<Kept>,
    /// How many frames have come from the source.
    passed: usize,
    size: u64,
    /// The most that is kept.
    limit: u64,
    too_large: bool,
    /// Nobody reads it once more: what passes now need not be kept.
    has_ended: bool,
    /// Which reader is the newest.
    generation: u64,
    /// Of the newest reader, to be told when it is so no longer.
    waker: Option<Waker>,
}

/// A frame that is kept.
pub(super) enum Kept {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl Replay {
    /// Begins to keep `source`, up to `limit` bytes.
    pub(crate) fn record(source: Body, limit: u64) -> Recording {
        Recording(Rc::new(RefCell::new(State {
            source,
            kept: Vec::new(),
            passed: 0,
            size: 0,
            limit,
            too_large: false,
            has_ended: false,
            generation: 0,
            waker: None,
        })))
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.recording.borrow_mut();
        if self.generation != state.generation {
            return Poll::Ready(Some(Err(BodyError::Superseded)));
        }
        if self.position < state.passed {
            let Some(kept) = state.kept.get(self.position) else {
                return Poll::Ready(Some(Err(BodyError::Superseded)));
            };
            self.position += 1;
            return Poll::Ready(Some(Ok(kept.frame())));
        }
        let source = std::pin::Pin::new(&mut state.source);
        let Poll::Ready(frame) = http_body::Body::poll_frame(source, cx) else {
            state.wait(cx);
            return Poll::Pending;
        };
        if let Some(Ok(frame)) = &frame {
            state.keep(frame);
            self.position = state.passed;
        }
        Poll::Ready(frame)
    }

    pub(super) fn proceed(&self) {
        self.recording.borrow().source.proceed();
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.recording.borrow();
        self.generation == state.generation
            && self.position >= state.passed
            && state.source.is_empty()
    }
}

impl Recording {
    /// Whether there is a body to be had.
    pub(crate) fn is_kept(&self) -> bool {
        !self.0.borrow().too_large
    }

    /// Keeps nothing more: the last reader is there.
    pub(crate) fn end(&self) {
        self.0.borrow_mut().has_ended = true;
    }

    /// The body from its beginning; `None` when more passed than is kept. A body given
    /// before ends with an error from now on.
    pub(crate) fn body(&self) -> Option<Body> {
        let mut state = self.0.borrow_mut();
        if state.too_large {
            return None;
        }
        state.generation += 1;
        let generation = state.generation;
        let before = state.waker.take();
        drop(state);
        if let Some(before) = before {
            before.wake();
        }
        Some(Body::replay(Replay { recording: Rc::clone(&self.0), generation, position: 0 }))
    }
}

impl State {
    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        self.passed += 1;
        if self.too_large || self.has_ended {
            self.kept = Vec::new();
            return;
        }
        self.size += frame.data_ref().map_or(0, |data| data.len() as u64);
        self.kept.extend(Kept::of(frame));
        if self.size > self.limit {
            self.too_large = true;
            self.kept = Vec::new();
        }
    }
}

impl Kept {
    /// What is to be kept of a frame.
    pub(super) fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().cloned().map(Self::Trailers))
    }

    pub(super) fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn a_small_body_comes_again() {
        let recording = Replay::record(Body::full("hello".into()), 5);
        for _ in 0..2 {
            let body = recording.body().unwrap();
            assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        }
    }

    #[tokio::test]
    async fn a_large_body_comes_once() {
        let recording = Replay::record(Body::full("hello".into()), 4);
        let body = recording.body().unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        assert!(recording.body().is_none());
    }

    #[tokio::test]
    async fn the_last_reader_gets_all_of_it() {
        let (first, second) = (Body::full("hello ".into()), Body::full("world".into()));
        let frames = futures_util::stream::iter([first, second])
            .then(|mut body| async move { body.frame().await.unwrap() });
        let source = Body::wrapped(http_body_util::StreamBody::new(Box::pin(frames)));
        let recording = Replay::record(source, 100);
        let mut before = recording.body().unwrap();
        assert_eq!(before.frame().await.unwrap().unwrap().into_data().unwrap(), "hello ");
        let last = recording.body().unwrap();
        recording.end();
        assert_eq!(last.collect().await.unwrap().to_bytes(), "hello world");
        assert!(recording.0.borrow().kept.is_empty());
    }

    #[tokio::test]
    async fn only_the_newest_reader_reads() {
        let recording = Replay::record(Body::full("hello".into()), 4);
        let (mut old, new) = (recording.body().unwrap(), recording.body().unwrap());
        assert!(matches!(old.frame().await, Some(Err(BodyError::Superseded))));
        assert_eq!(new.collect().await.unwrap().to_bytes(), "hello");
    }
}
