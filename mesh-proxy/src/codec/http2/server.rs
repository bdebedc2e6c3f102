//! HTTP/2 to a client.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Request, Response};
use tokio::task::spawn_local;

use super::send::Pacer;
use super::{Http2Body, send, tunnel};
use crate::codec::client::{CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW};
use crate::codec::linger::linger;
use crate::codec::pace::{self, Pace};
use crate::codec::server::Options;
use crate::codec::watched::Watched;
use crate::codec::{Body, Malformed, Stall};
use crate::config::{BufferLimit, Http2Options};
use crate::transport::Io;

/// Envoy's default of `max_concurrent_streams`.
const MAX_STREAMS: u32 = 1024;

/// Serves a connection to its end; see [`crate::codec::server::serve`].
pub(in crate::codec) async fn serve<H, F, B>(
    io: Io,
    stall: Stall,
    limit: BufferLimit,
    options: &Options,
    handler: H,
    leave: impl Future<Output = ()>,
) -> Result<(), h2::Error>
where
    H: Fn(Result<Request<Body>, Malformed>, Option<Rc<Pace>>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
{
    let mut io = Watched::new(io, stall);
    let mut leave = pin!(leave);
    let mut is_leaving = false;
    let resets = Rc::new(Resets::new(&options.http2));
    let served = {
        let shaking = builder(options, limit).handshake::<_, Bytes>(&mut io);
        let mut connection = tokio::select! {
            biased;
            shaken = shaking => shaken?,
            () = &mut leave => return Ok(()),
        };
        loop {
            let next = poll_fn(|cx| {
                if !is_leaving && leave.as_mut().poll(cx).is_ready() {
                    is_leaving = true;
                    connection.graceful_shutdown();
                }
                poll_accept(&mut connection, &resets, cx)
            });
            match next.await {
                Some(Ok((request, respond))) => {
                    let stream = begin(request, respond, &handler, &resets, options.headers.count);
                    spawn_local(stream);
                }
                Some(Err(error)) => break Err(error),
                None => break Ok(()),
            }
        }
    };
    linger(io, options.delayed_close).await;
    served
}

type Accepted = (Request<RecvStream>, SendResponse<Bytes>);

fn poll_accept(
    connection: &mut Connection<&mut Watched, Bytes>,
    resets: &Resets,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Accepted, h2::Error>>> {
    if resets.are_too_many.replace(false) {
        connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
    }
    resets.waker.set(Some(cx.waker().clone()));
    connection.poll_accept(cx)
}

fn builder(options: &Options, limit: BufferLimit) -> Builder {
    let mut builder = Builder::new();
    let Options { headers, http2, .. } = options;
    builder
        .max_header_list_size(u32::try_from(headers.bytes).unwrap_or(u32::MAX))
        .max_concurrent_streams(http2.max_concurrent_streams.unwrap_or(MAX_STREAMS))
        .max_send_buffer_size(limit.within(SEND_BUFFER))
        .initial_window_size(limit.window(http2.initial_stream_window_size, STREAM_WINDOW))
        .initial_connection_window_size(
            limit.window(http2.initial_connection_window_size, CONNECTION_WINDOW),
        );
    if http2.allow_connect {
        builder.enable_connect_protocol();
    }
    builder
}

/// What calls the handler and sees the stream to its end.
fn begin<H, F, B>(
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    handler: &H,
    resets: &Rc<Resets>,
    most_headers: usize,
) -> impl Future<Output = ()> + 'static + use<H, F, B>
where
    H: Fn(Result<Request<Body>, Malformed>, Option<Rc<Pace>>) -> F + Clone + 'static,
    F: Future<Output = Response<B>> + 'static,
    B: http_body::Body<Data = Bytes> + Unpin + 'static,
{
    let (mut head, stream) = request.into_parts();
    let is_tunnel = tunnel::to_upgrade(&mut head);
    let body = match stream.is_end_stream() {
        true => Body::empty(),
        false => Body::http2(Http2Body::of_request(stream)),
    };
    let is_too_much = head.headers.len() > most_headers;
    let request = match is_too_much {
        true => Err(Malformed::TooMany),
        false => Ok(Request::from_parts(head, body)),
    };
    let (handler, resets) = (handler.clone(), Rc::clone(resets));
    async move {
        let pace = Rc::<Pace>::default();
        // Large, so it is made where it stays: what is captured or given to an `async fn` is
        // there twice, and moved.
        let answer = pin!(handler(request, Some(Rc::clone(&pace))));
        let stream = pin!(async {
            if !answered(answer, respond, is_tunnel, &pace).await {
                resets.note();
            }
        });
        pace::watch(&pace, stream).await;
    }
}

/// Answers a request; `false` when the client has reset the stream.
async fn answered<F, B>(
    mut answer: Pin<&mut F>,
    mut respond: SendResponse<Bytes>,
    is_tunnel: bool,
    pace: &Pace,
) -> bool
where
    F: Future<Output = Response<B>>,
    B: http_body::Body<Data = Bytes> + Unpin,
{
    let answered = poll_fn(|cx| {
        if let Poll::Ready(response) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(response));
        }
        respond.poll_reset(cx).map(|_| None)
    });
    let Some(response) = answered.await else { return false };
    let (mut head, mut body) = response.into_parts();
    if is_tunnel {
        tunnel::from_switched(&mut head);
    }
    let is_whole = body.is_end_stream();
    if !is_whole
        && !head.headers.contains_key(CONTENT_LENGTH)
        && let Some(length) = body.size_hint().exact()
    {
        head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    let Ok(mut stream) = respond.send_response(Response::from_parts(head, ()), is_whole) else {
        return true;
    };
    if is_whole {
        return true;
    }
    match send::body(&mut body, &mut stream, pace).await {
        Ok(()) => true,
        Err(Some(_)) => {
            // What the upstream said is not whole.
            stream.send_reset(Reason::INTERNAL_ERROR);
            true
        }
        Err(None) => false,
    }
}

impl Pacer for Pace {
    fn waits(&self, waits: bool) {
        Pace::waits(self, waits);
    }
}

/// How many streams the client may reset: as many as tokens are left in a bucket that fills
/// with time (`stream_reset_burst`, `stream_reset_rate`; CVE-2023-44487).
struct Resets {
    tokens: Cell<f64>,
    last: Cell<Instant>,
    burst: f64,
    rate: f64,
    are_too_many: Cell<bool>,
    /// Of the connection's task.
    waker: Cell<Option<Waker>>,
}

impl Resets {
    fn new(options: &Http2Options) -> Self {
        let burst = options.stream_reset_burst as f64;
        Self {
            tokens: Cell::new(burst),
            last: Cell::new(Instant::now()),
            burst,
            rate: options.stream_reset_rate as f64,
            are_too_many: Cell::new(false),
            waker: Cell::default(),
        }
    }

    fn note(&self) {
        let now = Instant::now();
        let since = now.duration_since(self.last.replace(now)).as_secs_f64();
        let tokens = (self.tokens.get() + since * self.rate).min(self.burst);
        self.tokens.set((tokens - 1.0).max(0.0));
        if tokens < 1.0 {
            self.are_too_many.set(true);
            if let Some(waker) = self.waker.take() {
                waker.wake();
            }
        }
    }
}
