//! Bodies that can be sent again, as long as they are small.

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;

use super::{Body, BodyError};

/// A reader of a [`Recording`]. Only the newest one reads on from the source.
pub(crate) struct Replay {
    recording: Rc<RefCell<State>>,
    /// How many of the kept frames were given out.
    position: usize,
}

/// Keeps what passed of a body, so that another try can have it from its beginning. What
/// is not there yet still streams from the source.
pub(crate) struct Recording(Rc<RefCell<State>>);

struct State {
    source: Body,
    kept: Vec<Kept>,
    size: usize,
    /// The most that is kept.
    limit: usize,
    too_large: bool,
}

enum Kept {
    Data(Bytes),
    Trailers(http::HeaderMap),
}

impl Replay {
    /// Begins to keep `source`, up to `limit` bytes.
    pub(crate) fn record(source: Body, limit: usize) -> Recording {
        let state = State { source, kept: Vec::new(), size: 0, limit, too_large: false };
        Recording(Rc::new(RefCell::new(state)))
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut state = self.recording.borrow_mut();
        if let Some(kept) = state.kept.get(self.position) {
            self.position += 1;
            return Poll::Ready(Some(Ok(kept.frame())));
        }
        let frame = ready!(http_body::Body::poll_frame(std::pin::Pin::new(&mut state.source), cx));
        if let Some(Ok(frame)) = &frame {
            state.keep(frame);
            self.position = state.kept.len();
        }
        Poll::Ready(frame)
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let state = self.recording.borrow();
        self.position >= state.kept.len() && state.source.is_empty()
    }
}

impl Recording {
    /// The body from its beginning; `None` when more passed than is kept. A body given
    /// before must not be read any more.
    pub(crate) fn body(&self) -> Option<Body> {
        let again = Replay { recording: Rc::clone(&self.0), position: 0 };
        (!self.0.borrow().too_large).then(|| Body::replay(again))
    }
}

impl State {
    fn keep(&mut self, frame: &Frame<Bytes>) {
        if self.too_large {
            return;
        }
        if let Some(data) = frame.data_ref() {
            self.size += data.len();
            self.kept.push(Kept::Data(data.clone()));
        } else if let Some(trailers) = frame.trailers_ref() {
            self.kept.push(Kept::Trailers(trailers.clone()));
        }
        if self.size > self.limit {
            self.too_large = true;
            self.kept = Vec::new();
        }
    }
}

impl Kept {
    fn frame(&self) -> Frame<Bytes> {
        match self {
            Self::Data(data) => Frame::data(data.clone()),
            Self::Trailers(trailers) => Frame::trailers(trailers.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
}
