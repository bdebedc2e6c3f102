//! Bodies of which copies are made as they pass.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::Frame;

use super::replay::Kept;
use super::{Body, BodyError};

/// How much may wait for the reader of a copy, in bytes. More, and the copy ends: who reads
/// the original is never kept waiting.
const MAX_BEHIND: usize = 1024 * 1024;

/// A body whose frames go into its copies, too, as they are read.
pub(crate) struct Tee {
    source: Body,
    copies: Vec<Rc<RefCell<Queue>>>,
}

/// A copy: it ends well only when the original did.
pub(crate) struct Copied(Rc<RefCell<Queue>>);

#[derive(Default)]
struct Queue {
    frames: VecDeque<Kept>,
    size: usize,
    end: Option<End>,
    waker: Option<Waker>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Whole,
    Broken,
}

impl Tee {
    /// The body, and `count` copies of it.
    pub(crate) fn split(source: Body, count: usize) -> (Body, Vec<Body>) {
        let copies: Vec<_> = (0..count).map(|_| Rc::<RefCell<Queue>>::default()).collect();
        let readers = copies.iter().map(|queue| Body::copied(Copied(Rc::clone(queue)))).collect();
        (Body::tee(Self { source, copies }), readers)
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(http_body::Body::poll_frame(Pin::new(&mut self.source), cx));
        match &frame {
            Some(Ok(frame)) => self.copies.retain(|copy| copy.borrow_mut().push(frame)),
            Some(Err(_)) => self.end(End::Broken),
            None => self.end(End::Whole),
        }
        if self.source.is_empty() {
            self.end(End::Whole);
        }
        Poll::Ready(frame)
    }

    pub(super) fn proceed(&self) {
        self.source.proceed();
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.source.is_empty()
    }

    fn end(&mut self, how: End) {
        for copy in self.copies.drain(..) {
            copy.borrow_mut().finish(how);
        }
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.end(End::Broken);
    }
}

impl Queue {
    /// Whether the copy goes on.
    fn push(&mut self, frame: &Frame<Bytes>) -> bool {
        self.size += frame.data_ref().map_or(0, Bytes::len);
        if self.size > MAX_BEHIND {
            self.frames.clear();
            self.finish(End::Broken);
            return false;
        }
        self.frames.extend(Kept::of(frame));
        self.wake();
        true
    }

    fn finish(&mut self, how: End) {
        self.end.get_or_insert(how);
        self.wake();
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Copied {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut queue = self.0.borrow_mut();
        if let Some(kept) = queue.frames.pop_front() {
            let frame = kept.frame();
            queue.size -= frame.data_ref().map_or(0, Bytes::len);
            return Poll::Ready(Some(Ok(frame)));
        }
        match queue.end {
            Some(End::Whole) => Poll::Ready(None),
            Some(End::Broken) => Poll::Ready(Some(Err(BodyError::Uncopied))),
            None => {
                queue.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        let queue = self.0.borrow();
        queue.end == Some(End::Whole) && queue.frames.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn all_get_the_same() {
        let (body, copies) = Tee::split(Body::full("hello".into()), 2);
        assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
        for copy in copies {
            assert_eq!(copy.collect().await.unwrap().to_bytes(), "hello");
        }
    }

    #[tokio::test]
    async fn a_copy_of_a_part_is_no_whole_body() {
        let (body, mut copies) = Tee::split(Body::full("hello".into()), 1);
        drop(body);
        assert!(matches!(copies[0].frame().await, Some(Err(BodyError::Uncopied))));
    }

    #[tokio::test]
    async fn a_slow_reader_keeps_nobody_waiting() {
        let large = vec![b'x'; MAX_BEHIND + 1];
        let (body, mut copies) = Tee::split(Body::full(large.clone().into()), 1);
        assert_eq!(body.collect().await.unwrap().to_bytes(), large);
        assert!(matches!(copies[0].frame().await, Some(Err(BodyError::Uncopied))));
    }
}
