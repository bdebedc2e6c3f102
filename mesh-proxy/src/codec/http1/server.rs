//! HTTP/1.1 to a client: one request after the other.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONNECTION, EXPECT};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use tokio::time::Sleep;

use super::channel::Channel;
use super::encode::{self, Asked, Encoder};
use super::request::{self, Head};
use super::scan::Scan;
use super::wire::Wire;
use super::{Http1Body, Malformed};
use crate::codec::linger::linger;
use crate::codec::server::Options;
use crate::codec::{Body, Stall};
use crate::config::BufferLimit;
use crate::transport::Io;

/// Why a connection ended before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the client went away")]
    Gone,
    #[error("the response broke off")]
    Broken,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A client's connection.
struct Server<'a, L> {
    channel: Rc<RefCell<Channel>>,
    options: &'a Options,
    leave: Pin<&'a mut L>,
    /// `leave` is done: this is the last response.
    is_leaving: bool,
}

/// What is kept of a request until it is answered.
struct Question {
    method: Method,
    version: Version,
    keep_alive: bool,
}

/// Serves a connection to its end; see [`crate::codec::server::serve`].
pub(in crate::codec) async fn serve<H, F, B>(
    io: Io,
    stall: Stall,
    limit: BufferLimit,
    options: &Options,
    handler: H,
    leave: impl Future<Output = ()>,
) -> Result<(), Error>
where
    H: Fn(Result<Request<Body>, Malformed>) -> F,
    F: Future<Output = Response<B>>,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let wire = Wire::new(io, stall, limit);
    let channel = Channel::of_client(wire, options.headers, options.http1.enable_trailers);
    let channel = Rc::new(RefCell::new(channel));
    let leave = pin!(leave);
    let mut server = Server { channel, options, leave, is_leaving: false };
    let outcome = loop {
        let Some(head) = server.head().await else { break Ok(()) };
        match server.exchange(head, &handler).await {
            Ok(true) => {}
            Ok(false) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    let io = server.channel.borrow_mut().wire.close();
    if let (Ok(()), Some(io)) = (&outcome, io) {
        linger(io, options.delayed_close).await;
    }
    outcome
}

impl<L: Future<Output = ()>> Server<'_, L> {
    /// Waits for the next request; `None` when none comes any more.
    async fn head(&mut self) -> Option<Result<Head, Malformed>> {
        let mut scan = Scan::default();
        let mut timer = HeadTimer::default();
        let channel = Rc::clone(&self.channel);
        poll_fn(|cx| {
            let wire = &mut channel.borrow_mut().wire;
            loop {
                match self.look(wire, &mut scan) {
                    Ok(None) => {}
                    Ok(Some(head)) => return Poll::Ready(Some(Ok(head))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                }
                let is_begun = !wire.input.is_empty();
                if self.poll_leave(cx) && !is_begun {
                    return Poll::Ready(None);
                }
                match wire.poll_fill(cx) {
                    Poll::Ready(Ok(0) | Err(_)) if is_begun => {
                        return Poll::Ready(Some(Err(Malformed::Cut)));
                    }
                    Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(None),
                    Poll::Ready(Ok(_)) => timer.note(self.options),
                    Poll::Pending if is_begun => {
                        // It may have come with the request before.
                        timer.start(self.options);
                        return timer.poll(cx, self.options).map(|error| Some(Err(error)));
                    }
                    Poll::Pending => {
                        wire.shrink();
                        return Poll::Pending;
                    }
                }
            }
        })
        .await
    }

    /// The head that was read, if it is whole.
    fn look(&self, wire: &mut Wire, scan: &mut Scan) -> Result<Option<Head>, Malformed> {
        // Empty lines before a request are no part of it (RFC 9112, section 2.2).
        while wire.input.starts_with(b"\r\n") {
            let _ = wire.input.split_to(2);
            *scan = Scan::default();
        }
        let end = scan.end(&wire.input)?;
        let limits = self.options.headers;
        if end.unwrap_or(wire.input.len()) > limits.bytes {
            return Err(Malformed::TooLarge);
        }
        let Some(end) = end else {
            return if request::may_begin(&wire.input) { Ok(None) } else { Err(Malformed::Syntax) };
        };
        request::take(&mut wire.input, end, limits, &self.options.http1).map(Some)
    }

    /// Whether the connection is to end.
    fn poll_leave(&mut self, cx: &mut Context<'_>) -> bool {
        self.is_leaving = self.is_leaving || self.leave.as_mut().poll(cx).is_ready();
        self.is_leaving
    }

    /// Has a request answered; `false` when the connection ends with it.
    async fn exchange<H, F, B>(
        &mut self,
        head: Result<Head, Malformed>,
        handler: &H,
    ) -> Result<bool, Error>
    where
        H: Fn(Result<Request<Body>, Malformed>) -> F,
        F: Future<Output = Response<B>>,
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let is_gone = matches!(head, Err(Malformed::Cut));
        let (question, request) = self.begin(head);
        if is_gone {
            // It is told of, but nobody is there to be answered.
            handler(request).await;
            return Ok(false);
        }
        let response = self.answered(pin!(handler(request))).await?;
        self.respond(&question, response).await
    }

    fn begin(&self, head: Result<Head, Malformed>) -> (Question, Result<Request<Body>, Malformed>) {
        let mut channel = self.channel.borrow_mut();
        let head = match head {
            Ok(head) => head,
            Err(error) => {
                // Nobody knows where the next request would begin.
                let (method, version) = (Method::GET, Version::HTTP_11);
                return (Question { method, version, keep_alive: false }, Err(error));
            }
        };
        let Head { mut parts, decoder, keep_alive, expects_continue } = head;
        let question =
            Question { method: parts.method.clone(), version: parts.version, keep_alive };
        let is_empty = decoder.is_done();
        if expects_continue && !self.options.proxies_continue {
            parts.headers.remove(EXPECT);
            channel.say_continue();
        }
        let message = channel.begin(decoder);
        drop(channel);
        let body = match is_empty {
            true => Body::empty(),
            false => Body::http1(Http1Body::new(&self.channel, message, None)),
        };
        (question, Ok(Request::from_parts(parts, body)))
    }

    /// Waits for the answer, unless the client goes.
    async fn answered<F: Future>(&mut self, mut answer: Pin<&mut F>) -> Result<F::Output, Error> {
        let channel = Rc::clone(&self.channel);
        poll_fn(|cx| {
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Ok(answer));
            }
            self.poll_leave(cx);
            let mut channel = channel.borrow_mut();
            let _ = channel.wire.poll_flush(cx)?;
            channel.poll_gone(cx).map(|()| Err(Error::Gone))
        })
        .await
    }

    /// Writes the response; `false` when the connection ends with it.
    async fn respond<B>(
        &mut self,
        question: &Question,
        response: Response<B>,
    ) -> Result<bool, Error>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let (mut head, mut body) = response.into_parts();
        let closes = self.closes_after(question, &mut head.headers, head.status);
        let asked = Asked { method: &question.method, version: question.version, closes };
        let mut encoder = {
            let output = &mut self.channel.borrow_mut().wire.output;
            let size = if body.is_end_stream() { Some(0) } else { body.size_hint().exact() };
            encode::response(output, &head, size, &asked, &self.options.http1)
        };
        drop(head);
        let is_framed = encoder != Encoder::UntilClose;
        let channel = Rc::clone(&self.channel);
        let mut filled = Filled::Enough;
        poll_fn(|cx| {
            let channel = &mut *channel.borrow_mut();
            self.poll_leave(cx);
            loop {
                if !matches!(filled, Filled::Broken) {
                    filled = fill(channel, &mut encoder, Pin::new(&mut body), cx);
                }
                ready!(channel.wire.poll_flush(cx))?;
                match filled {
                    Filled::Broken => return Poll::Ready(Err(Error::Broken)),
                    _ if encoder.is_done() => return Poll::Ready(Ok(())),
                    Filled::Waiting => {
                        return channel.poll_gone(cx).map(|()| Err(Error::Gone));
                    }
                    Filled::Enough => {}
                }
            }
        })
        .await?;
        let keeps = !closes && is_framed && self.channel.borrow().decoder.is_done();
        Ok(keeps && !self.is_leaving)
    }

    /// A connection goes on only behind a request that has been read: the rest of it might
    /// never come, or be a request to somebody else (as in Envoy).
    fn closes_after(
        &self,
        question: &Question,
        headers: &mut HeaderMap,
        status: StatusCode,
    ) -> bool {
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return false;
        }
        let is_asked = headers.remove(CONNECTION).is_some();
        let is_read = self.channel.borrow().decoder.is_done();
        is_asked || self.is_leaving || !question.keep_alive || !is_read
    }
}

/// How far a body came.
enum Filled {
    /// As much as is held, or all of it.
    Enough,
    /// More of it must come first.
    Waiting,
    /// No more of it comes, though it is not whole. What has come goes out.
    Broken,
}

/// Takes what there is of the body.
fn fill<B: http_body::Body<Data = Bytes>>(
    channel: &mut Channel,
    encoder: &mut Encoder,
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Filled {
    while !encoder.is_done() && !channel.wire.is_full() {
        let output = &mut channel.wire.output;
        match body.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                encoder.frame(output, frame);
                if !encoder.is_done() && body.is_end_stream() && !encoder.end(output) {
                    return Filled::Broken;
                }
            }
            Poll::Ready(Some(Err(_))) => return Filled::Broken,
            Poll::Ready(None) if encoder.end(output) => {}
            Poll::Ready(None) => return Filled::Broken,
            Poll::Pending => return Filled::Waiting,
        }
    }
    Filled::Enough
}

/// How long a head may take, and how long nothing of it may come.
#[derive(Default)]
struct HeadTimer {
    began: Option<Instant>,
    last: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl HeadTimer {
    /// Something is there.
    fn start(&mut self, options: &Options) {
        if self.last.is_none() {
            self.note(options);
        }
    }

    /// Something came.
    fn note(&mut self, options: &Options) {
        if options.headers_timeout.is_some() || options.head_idle_timeout.is_some() {
            let now = Instant::now();
            self.began.get_or_insert(now);
            self.last = Some(now);
        }
    }

    /// Ready when it took too long.
    fn poll(&mut self, cx: &mut Context<'_>, options: &Options) -> Poll<Malformed> {
        let at = |from: Option<Instant>, timeout, error| Some((from? + timeout?, error));
        let whole = at(self.began, options.headers_timeout, Malformed::HeadTimeout);
        let idle = at(self.last, options.head_idle_timeout, Malformed::HeadIdle);
        let next = whole.into_iter().chain(idle).min_by_key(|(when, _)| *when);
        let Some((when, error)) = next else { return Poll::Pending };
        let sleep =
            self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(when.into())));
        if sleep.deadline() != when.into() {
            sleep.as_mut().reset(when.into());
        }
        sleep.as_mut().poll(cx).map(|()| error)
    }
}
