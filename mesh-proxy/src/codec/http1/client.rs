//! HTTP/1.1 to an upstream.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Response, StatusCode};
use http_body::Body as _;
use tokio::task::{AbortHandle, spawn_local};

use super::channel::Channel;
use super::encode::{self, Encoder};
use super::request;
use super::response::{self, Head};
use super::scan::Scan;
use super::wire::Wire;
use super::{Http1Body, Limits, Malformed};
use crate::codec::client::{SendError, SendErrorKind, transport_failure};
use crate::codec::{Body, Stall};
use crate::config::{BufferLimit, Http1Options};
use crate::transport::Io;

/// A connection that takes one request at a time. Dropped, it is closed.
pub(crate) struct Http1 {
    shared: Rc<Shared>,
    options: Arc<Http1Options>,
    /// The upstream takes another request after this response.
    keep_alive: bool,
}

/// What the connection, its driver and the body of a response share.
struct Shared {
    channel: Rc<RefCell<Channel>>,
    state: RefCell<State>,
}

#[derive(Default)]
struct State {
    /// No request is at work: what the upstream says now, it should not.
    is_idle: bool,
    /// The request is out to its end.
    is_sent: bool,
    /// The upstream said something when it was not asked.
    spoke_unasked: bool,
    driver: Option<Waker>,
}

/// The task that sends the rest of a request whose response has begun; ended when nobody
/// wants the response.
pub(super) struct Pump(AbortHandle);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Http1 {
    /// The connection, and what tells that it is closed: to be polled by a task until it
    /// ends, which is true when the upstream said something that nobody had asked for. `limits` are those of a response's head.
    pub(crate) fn new(
        io: Io,
        limits: Limits,
        buffer_limit: BufferLimit,
        options: Arc<Http1Options>,
    ) -> (Self, impl Future<Output = bool> + 'static) {
        let wire = Wire::new(io, Stall::default(), buffer_limit);
        let channel = Channel::of_upstream(wire, limits, options.enable_trailers);
        let state = RefCell::new(State { is_idle: true, is_sent: true, ..State::default() });
        let shared = Rc::new(Shared { channel: Rc::new(RefCell::new(channel)), state });
        let driver = Rc::clone(&shared);
        let driver = poll_fn(move |cx| driver.poll_closed(cx));
        (Self { shared, options, keep_alive: true }, driver)
    }

    /// Whether the next request can be sent, as far as is known now.
    pub(crate) fn is_ready(&self) -> bool {
        self.shared.watch();
        self.shared.state.borrow().is_idle && !self.shared.channel.borrow().wire.is_closed()
    }

    /// Says that a response has come to its end. `false` when the connection takes no other
    /// request: the upstream says so, or answered without the whole request.
    pub(crate) fn finish(&mut self) -> bool {
        {
            let mut state = self.shared.state.borrow_mut();
            let channel = self.shared.channel.borrow();
            if !self.keep_alive || !state.is_sent || !channel.decoder.is_done() {
                return false;
            }
            state.is_idle = true;
        }
        self.is_ready()
    }

    /// Sends a request and waits for the head of its response. The head has an origin-form
    /// target and a Host header. Dropping the future closes the connection. A tunnel's bytes
    /// wait for the response that opens it.
    pub(crate) async fn send(
        &mut self,
        head: &Parts,
        body: Body,
    ) -> Result<Response<Body>, SendError> {
        if !self.is_ready() {
            let error = SendError::new(SendErrorKind::NotSent, "the connection was closed");
            return Err(SendError { body: Some(body), connection_broke: true, ..error });
        }
        let is_tunnel = head.method == Method::CONNECT || head.headers.contains_key(UPGRADE);
        let encoder = {
            let output = &mut self.shared.channel.borrow_mut().wire.output;
            encode::request(output, head, body.is_empty(), is_tunnel, &self.options)
        };
        let mut sending =
            Sending { body, encoder, is_held: is_tunnel, is_tunnel, is_broken: false };
        self.shared.begin();
        let shared = Rc::clone(&self.shared);
        let mut scan = Scan::default();
        let answer = poll_fn(|cx| {
            let is_sending = sending.poll(&shared, cx)?.is_pending();
            let head = ready!(self.poll_head(head, &sending.body, &mut scan, cx))?;
            Poll::Ready(Ok((head, is_sending)))
        });
        let (answer, is_sending) = answer.await?;
        Ok(self.response(head, answer, is_sending.then_some(sending), is_tunnel))
    }

    /// The head of the response. Those that only say that there will be one are passed over.
    fn poll_head(
        &self,
        asked: &Parts,
        body: &Body,
        scan: &mut Scan,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Head, SendError>> {
        let channel = &mut *self.shared.channel.borrow_mut();
        let limits = channel.limits;
        let wire = &mut channel.wire;
        loop {
            let end = scan.end(&wire.input).map_err(protocol)?;
            if end.unwrap_or(wire.input.len()) > limits.bytes {
                return Poll::Ready(Err(protocol(Malformed::TooLarge)));
            }
            if let Some(end) = end {
                let head =
                    response::take(&mut wire.input, end, &asked.method, limits, &self.options);
                let head = head.map_err(protocol)?;
                let status = head.parts.status;
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                if status == StatusCode::CONTINUE && request::expects_continue(&asked.headers) {
                    body.proceed();
                }
                *scan = Scan::default();
                continue;
            }
            match ready!(wire.poll_fill(cx)) {
                Ok(0) if !wire.input.is_empty() => {
                    return Poll::Ready(Err(protocol(Malformed::Cut)));
                }
                Ok(0) => return Poll::Ready(Err(closed(&io::ErrorKind::UnexpectedEof.into()))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(closed(&error))),
            }
        }
    }

    fn response(
        &mut self,
        asked: &Parts,
        head: Head,
        sending: Option<Sending>,
        is_tunnel: bool,
    ) -> Response<Body> {
        let Head { parts, decoder, keep_alive } = head;
        let is_open = match asked.method {
            Method::CONNECT => parts.status.is_success(),
            _ => parts.status == StatusCode::SWITCHING_PROTOCOLS,
        };
        self.keep_alive = keep_alive && !is_tunnel;
        let pump = sending.filter(|sending| is_open || !sending.is_held).map(|mut sending| {
            sending.is_held = false;
            let shared = Rc::clone(&self.shared);
            Pump(spawn_local(async move { sending.run(&shared).await }).abort_handle())
        });
        let is_empty = decoder.is_done();
        let message = self.shared.channel.borrow_mut().begin(decoder);
        let body = match is_empty {
            true => Body::empty(),
            false => Body::http1(Http1Body::new(&self.shared.channel, message, pump)),
        };
        Response::from_parts(parts, body)
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        self.shared.close();
    }
}

impl Shared {
    fn begin(&self) {
        let mut state = self.state.borrow_mut();
        (state.is_idle, state.is_sent) = (false, false);
    }

    fn close(&self) {
        drop(self.channel.borrow_mut().wire.close());
        if let Some(driver) = self.state.borrow_mut().driver.take() {
            driver.wake();
        }
    }

    /// The driver: ready when the connection is closed.
    fn poll_closed(&self, cx: &mut Context<'_>) -> Poll<bool> {
        let is_idle = {
            let mut state = self.state.borrow_mut();
            state.driver = Some(cx.waker().clone());
            state.is_idle
        };
        let mut channel = self.channel.borrow_mut();
        if channel.wire.is_closed() {
            return Poll::Ready(self.state.borrow().spoke_unasked);
        }
        if !is_idle {
            return Poll::Pending;
        }
        // Whatever comes now, it is no answer.
        let spoke = matches!(ready!(channel.wire.poll_fill(cx)), Ok(1..));
        drop(channel.wire.close());
        Poll::Ready(spoke)
    }

    /// Has the driver woken when something happens on the idle connection, without running
    /// it: nearly always nothing has happened yet.
    fn watch(&self) {
        let driver = {
            let state = self.state.borrow();
            state.driver.clone().filter(|_| state.is_idle)
        };
        let Some(driver) = driver else { return };
        let mut channel = self.channel.borrow_mut();
        let mut spoke = !channel.wire.input.is_empty();
        let is_over = spoke || {
            let filled = channel.wire.poll_fill(&mut Context::from_waker(&driver));
            spoke = matches!(filled, Poll::Ready(Ok(1..)));
            filled.is_ready()
        };
        if is_over {
            self.state.borrow_mut().spoke_unasked = spoke;
            drop(channel.wire.close());
            driver.wake();
        } else {
            channel.wire.shrink();
        }
    }
}

/// A request on its way out.
struct Sending {
    body: Body,
    encoder: Encoder,
    /// A tunnel that is not open yet.
    is_held: bool,
    is_tunnel: bool,
    /// The upstream takes nothing more; it may have answered all the same.
    is_broken: bool,
}

impl Sending {
    async fn run(mut self, shared: &Shared) {
        match poll_fn(|cx| self.poll(shared, cx)).await {
            // The other direction of a tunnel may go on.
            Ok(()) if self.is_tunnel => {
                let _ = poll_fn(|cx| shared.channel.borrow_mut().wire.poll_shutdown(cx)).await;
            }
            Ok(()) => {}
            // The upstream must not take what it has for the whole request.
            Err(_) => shared.close(),
        }
    }

    /// Sends as much as the upstream takes. An error is the client's, whose body broke off.
    fn poll(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Poll<Result<(), SendError>> {
        loop {
            let is_waiting = self.fill(shared, cx)?;
            if self.is_broken {
                return Poll::Pending;
            }
            if let Err(error) = ready!(shared.channel.borrow_mut().wire.poll_flush(cx)) {
                tracing::debug!(%error, "an upstream took no more of a request");
                self.is_broken = true;
                return Poll::Pending;
            }
            if self.encoder.is_done() {
                shared.state.borrow_mut().is_sent = true;
                return Poll::Ready(Ok(()));
            }
            if is_waiting {
                return Poll::Pending;
            }
        }
    }

    /// Takes what there is of the body; `true` when more of it must come first.
    fn fill(&mut self, shared: &Shared, cx: &mut Context<'_>) -> Result<bool, SendError> {
        let broken = |detail: &dyn std::fmt::Display| SendError {
            connection_broke: true,
            ..SendError::new(SendErrorKind::Closed, detail)
        };
        while !self.encoder.is_done() {
            if self.is_held {
                return Ok(true);
            }
            if shared.channel.borrow().wire.is_full() {
                return Ok(false);
            }
            // The body may be read from another connection, never from this one.
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                return Ok(true);
            };
            let output = &mut shared.channel.borrow_mut().wire.output;
            match frame {
                Some(Ok(frame)) => {
                    self.encoder.frame(output, frame);
                    let is_last = !self.encoder.is_done() && self.body.is_empty();
                    if is_last && !self.encoder.end(output) {
                        return Err(broken(&"the request was shorter than it said"));
                    }
                }
                Some(Err(error)) => return Err(broken(&error)),
                None if self.encoder.end(output) => {}
                None => return Err(broken(&"the request was shorter than it said")),
            }
        }
        Ok(false)
    }
}

fn protocol(error: Malformed) -> SendError {
    SendError { connection_broke: true, ..SendError::new(SendErrorKind::Protocol, error) }
}

fn closed(error: &io::Error) -> SendError {
    SendError {
        connection_broke: true,
        transport_failure: transport_failure(error),
        ..SendError::new(SendErrorKind::Closed, error)
    }
}
