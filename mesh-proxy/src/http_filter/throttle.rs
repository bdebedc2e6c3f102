//! A body that takes its time.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::Sleep;

use crate::codec::{Body, BodyError};

/// A slice of the body passes in this time.
const TICK: Duration = Duration::from_millis(63);
const TICKS_A_SECOND: u64 = 16;

/// What was not used of that much time can be used later.
const BURST: Duration = Duration::from_secs(1);

/// Passes so many bytes a second.
pub(super) struct Throttled {
    body: Body,
    slice: usize,
    /// What has come and may not pass yet.
    rest: Bytes,
    /// When the next slice may pass.
    next: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Throttled {
    /// `rate` is in KiB a second.
    pub(super) fn new(body: Body, rate: u64) -> Self {
        let slice = usize::try_from(rate.saturating_mul(1024) / TICKS_A_SECOND);
        Self {
            body,
            slice: slice.unwrap_or(usize::MAX).max(1),
            rest: Bytes::new(),
            next: Instant::now(),
            sleep: None,
        }
    }

    /// Ready when a slice may pass.
    fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        if self.next <= now {
            self.sleep = None;
            let unused = now.checked_sub(BURST).unwrap_or(now);
            self.next = self.next.max(unused) + TICK;
            return Poll::Ready(());
        }
        let next = self.next;
        let sleep =
            self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(next.into())));
        ready!(sleep.as_mut().poll(cx));
        self.sleep = None;
        self.next += TICK;
        Poll::Ready(())
    }
}

impl http_body::Body for Throttled {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if this.rest.is_empty() {
            match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => this.rest = data,
                    Ok(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return Poll::Ready(other),
            }
        }
        ready!(this.poll_turn(cx));
        let slice = this.rest.split_to(this.slice.min(this.rest.remaining()));
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = http_body::Body::size_hint(&self.body);
        let rest = self.rest.len() as u64;
        let upper = hint.upper();
        hint.set_lower(hint.lower().saturating_add(rest));
        if let Some(upper) = upper {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn passes_in_slices() {
        let mut body = Throttled::new(Body::full(vec![7; 150].into()), 1);
        let mut sizes = Vec::new();
        while let Some(frame) = body.frame().await {
            sizes.push(frame.unwrap().into_data().unwrap().len());
        }
        assert_eq!(sizes, [64, 64, 22]);
        assert!(http_body::Body::is_end_stream(&body));
    }
}
