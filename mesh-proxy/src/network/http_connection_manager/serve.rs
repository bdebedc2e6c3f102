//! A connection and its requests.

use std::cell::{Cell, OnceCell, RefCell};
use std::convert::Infallible;
use std::future::pending;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};
use mesh_runtime::drain::Watcher;

use super::ending::{Ending, Outgoing};
use super::upgrade::{self, Tunnel};
use super::{Manager, headers};
use crate::access_log::Flags;
use crate::codec::{Body, Pace, Protocol, Stall, Upgrade, server};
use crate::config::CodecType;
use crate::http_filter;
use crate::network::{self, Connection};
use crate::random;
use crate::router::{Downstream, ResponseBody, Stream, local_reply};
use crate::stats::Held;
use crate::worker::Worker;

/// How long HTTP/1 clients may go on when their connection is to end: a request that comes
/// in this time, the first one too, is answered with `Connection: close`. Closing at once
/// would cut off requests that are on their way.
const GRACE: Duration = Duration::from_secs(1);

/// Whether a connection is idle, and since when.
pub(super) struct Activity {
    active: Cell<u32>,
    last: Cell<Instant>,
    /// Speaks HTTP/2, which has its own way to say goodbye.
    is_http2: Cell<bool>,
    /// The next response of HTTP/1 is the last.
    is_leaving: Cell<bool>,
}

/// A connection as its requests see it.
struct Client {
    manager: Arc<Manager>,
    downstream: Rc<Downstream>,
    activity: Rc<Activity>,
    /// Kept by tunnels, which outlive the codec.
    counted: Rc<Counted>,
    drain: Watcher,
}

/// Counts a connection from its beginning to its end.
pub(super) struct Counted {
    manager: Arc<Manager>,
    _listener: network::Counted,
    _active: Held,
    /// Once it is known what the connection speaks.
    protocol: OnceCell<Held>,
    began: Instant,
}

pub(super) async fn serve(
    manager: Arc<Manager>,
    connection: Connection,
    worker: Rc<Worker>,
    mut drain: Watcher,
) {
    let Connection {
        mut io, remote, local, original_destination, tls, server_name, counted, ..
    } = connection;
    let counted = Rc::new(Counted::new(&manager, counted));
    let activity = Rc::new(Activity::new());
    let alpn = tls.as_ref().map(|tls| tls.alpn.clone()).unwrap_or_default();
    let client = Rc::new(Client {
        manager: Arc::clone(&manager),
        downstream: Rc::new(Downstream {
            remote,
            local,
            original_destination,
            tls,
            server_name,
            worker,
            timer: RefCell::default(),
        }),
        activity: Rc::clone(&activity),
        counted: Rc::clone(&counted),
        drain: drain.clone(),
    });
    let mut abort = drain.clone();
    let stall = Stall::default();
    let config = &manager.config;
    // What a codec waits for in vain: the rest of a head, the answer to a GOAWAY.
    let overdue = config.idle_timeout.map(|timeout| timeout + config.drain_timeout);
    let lost = async {
        tokio::select! {
            () = activity.idle_for(overdue) => {}
            () = stall.lasts(config.stream_idle_timeout) => {}
        }
    };
    let leave = async {
        tokio::select! {
            _ = drain.begun_at(random::share()) => {
                manager.stats.cx_drain_close.inc();
                activity.says_goodbye().await;
            }
            () = activity.idle_for(manager.config.idle_timeout) => {
                manager.stats.cx_idle_timeout.inc();
            }
        }
    };
    let mut leave = pin!(leave);
    let serving = async {
        let protocol = match manager.config.codec {
            CodecType::Http1 => Protocol::Http1,
            CodecType::Http2 => Protocol::Http2,
            CodecType::Auto if &*alpn == b"h2" => Protocol::Http2,
            CodecType::Auto if &*alpn == b"http/1.1" => Protocol::Http1,
            // Istio's own protocols do not say which HTTP it is.
            CodecType::Auto => tokio::select! {
                biased;
                detected = server::detect(&mut io) => detected.unwrap_or(Protocol::Http1),
                () = &mut leave => return,
            },
        };
        activity.is_http2.set(protocol == Protocol::Http2);
        counted.protocol.get_or_init(|| manager.count_protocol(protocol));
        let handler = move |request, pace| Rc::clone(&client).handle(request, pace);
        let served =
            server::serve(io, stall.clone(), protocol, &manager.codec, handler, leave).await;
        if let Err(error) = served {
            tracing::debug!(%remote, %error, "a client's connection ended");
            if error.is_parse() {
                manager.stats.cx_protocol_error.inc();
            }
        }
    };
    tokio::select! {
        biased;
        () = serving => {}
        () = abort.immediate() => {}
        () = lost => tracing::debug!(%remote, "a client does not go on"),
    }
}

impl Client {
    /// Answers one request. Boxes what must live until the response is out: this future
    /// and the response are moved around by the codec.
    async fn handle(
        self: Rc<Self>,
        request: Request<Body>,
        pace: Option<Rc<Pace>>,
    ) -> Result<Response<Outgoing>, Infallible> {
        let (mut ending, body) = self.begin(request);
        let response = match self.refusal(&mut ending.stream) {
            Some(refusal) => refusal,
            None => {
                let filters = &self.manager.config.http_filters;
                http_filter::run(filters, &mut ending.stream, body).await
            }
        };
        if let Some(pace) = pace {
            pace.limit(ending.idle_timeout());
            ending.pace = Some(pace);
        }
        let mut response = self.finish(ending, response);
        if self.activity.ends_with_a_response()
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        Ok(response)
    }

    fn begin(&self, request: Request<Body>) -> (Box<Ending>, Body) {
        let (head, body) = request.into_parts();
        let stats = &self.manager.stats;
        stats.rq_total.inc();
        stats.rq_active.inc();
        let is_http2 = head.version == Version::HTTP_2;
        (if is_http2 { &stats.rq_http2_total } else { &stats.rq_http1_total }).inc();
        let (body, request_meter) = match body.is_empty() {
            true => (body, None),
            false => {
                let (body, meter) = body.metered();
                (body, Some(meter))
            }
        };
        self.activity.begin();
        let stream = Stream {
            downstream: Rc::clone(&self.downstream),
            head,
            route: None,
            routed: None,
            started: Instant::now(),
            request_meter,
            request_timeout: self.manager.config.request_timeout,
            idle_timeout: self.manager.config.stream_idle_timeout,
            upgrade: None,
            flags: Flags::NONE,
            details: "",
            retries: 0,
            cluster: None,
            upstream_host: None,
            upstream_local: None,
            upstream_protocol: None,
            attempts: 0,
            sent: None,
            responded: None,
            upstream_failure: None,
            service_time: None,
        };
        let ending = Ending {
            manager: Arc::clone(&self.manager),
            stream,
            activity: Rc::clone(&self.activity),
            pace: None,
            status: None,
            response_headers: None,
            response_trailers: None,
            bytes_sent: 0,
            bytes_received: 0,
            is_complete: false,
        };
        (Box::new(ending), body)
    }

    /// Brings the head into shape and finds its route; a response when the request cannot
    /// be forwarded.
    fn refusal(&self, stream: &mut Stream) -> Option<Response<ResponseBody>> {
        if let Err(details) = headers::normalise(&mut stream.head) {
            stream.details = details;
            return Some(local_reply(stream, StatusCode::BAD_REQUEST, ""));
        }
        let is_websocket = headers::asks_for_websocket(&stream.head);
        headers::remove_hop_by_hop(&mut stream.head.headers);
        self.manager.prepare_request(&mut stream.head.headers, &stream.downstream);
        // No route asks for CONNECT (Envoy's `connect_matcher`), whose target is no path.
        if stream.head.method != Method::CONNECT {
            stream.route = self.manager.routes.route(&stream.head);
        }
        if is_websocket && let Some(route) = &stream.route {
            if !route.websocket().unwrap_or(self.manager.config.websocket) {
                self.manager.stats.rq_ws_on_non_ws_route.inc();
                stream.details = "upgrade_failed";
                return Some(local_reply(stream, StatusCode::FORBIDDEN, ""));
            }
            stream.upgrade = Upgrade::take(&mut stream.head.extensions);
            headers::restore_upgrade(&mut stream.head.headers);
        }
        None
    }

    /// Finishes a response and binds the request's end to that of its body.
    fn finish(
        &self,
        mut ending: Box<Ending>,
        mut response: Response<ResponseBody>,
    ) -> Response<Outgoing> {
        let mut tunnel = None;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upstream = Upgrade::take(response.extensions_mut());
            let both = ending.stream.upgrade.take().zip(upstream);
            tunnel = both.map(|(downstream, upstream)| Tunnel {
                downstream,
                upstream,
                exchange: response.body_mut().take_exchange(),
                connection: Rc::clone(&self.counted),
            });
            if tunnel.is_none() {
                let details = "upstream_reset_before_response_started{protocol_error}";
                ending.stream.fail(Flags::UPSTREAM_PROTOCOL_ERROR, details);
                response = local_reply(&ending.stream, StatusCode::BAD_GATEWAY, "");
            }
        }
        headers::remove_hop_by_hop(response.headers_mut());
        if ending.stream.head.method == Method::HEAD
            && let Some(size) = response.body_mut().withhold()
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        }
        let service_time = ending.stream.service_time;
        self.manager.finish_response(response.headers_mut(), service_time);
        *response.version_mut() = Version::HTTP_11;
        ending.status = Some(response.status());
        if !self.manager.logs.is_empty() {
            ending.response_headers = Some(response.headers().clone());
        }
        let Some(tunnel) = tunnel else {
            return response.map(|body| Outgoing::new(body, ending));
        };
        headers::restore_upgrade(response.headers_mut());
        upgrade::start(ending, tunnel, self.drain.clone());
        response.map(Outgoing::detached)
    }
}

impl Activity {
    fn new() -> Self {
        Self {
            active: Cell::new(0),
            last: Cell::new(Instant::now()),
            is_http2: Cell::new(false),
            is_leaving: Cell::new(false),
        }
    }

    fn begin(&self) {
        self.active.set(self.active.get() + 1);
    }

    pub(super) fn end(&self) {
        self.active.set(self.active.get() - 1);
        self.last.set(Instant::now());
    }

    /// Lets an HTTP/1 client hear with a response that its connection ends.
    async fn says_goodbye(&self) {
        if !self.is_http2.get() {
            self.is_leaving.set(true);
            tokio::time::sleep(GRACE).await;
        }
    }

    fn ends_with_a_response(&self) -> bool {
        self.is_leaving.get() && !self.is_http2.get()
    }

    /// Waits until there was no request for so long.
    async fn idle_for(&self, timeout: Option<Duration>) {
        let Some(timeout) = timeout else { return pending().await };
        loop {
            let now = Instant::now();
            let from = if self.active.get() == 0 { self.last.get() } else { now };
            if from + timeout <= now {
                return;
            }
            tokio::time::sleep_until((from + timeout).into()).await;
        }
    }
}

impl Manager {
    fn count_protocol(&self, protocol: Protocol) -> Held {
        let (total, active) = match protocol {
            Protocol::Http1 => (&self.stats.cx_http1_total, &self.stats.cx_http1_active),
            Protocol::Http2 => (&self.stats.cx_http2_total, &self.stats.cx_http2_active),
        };
        total.inc();
        active.hold()
    }
}

impl Counted {
    fn new(manager: &Arc<Manager>, listener: network::Counted) -> Self {
        manager.stats.cx_total.inc();
        Self {
            _listener: listener,
            _active: manager.stats.cx_active.hold(),
            protocol: OnceCell::new(),
            began: Instant::now(),
            manager: Arc::clone(manager),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.manager.stats.cx_destroy.inc();
        self.manager.stats.cx_length_ms.record(self.began.elapsed().as_millis() as u64);
    }
}
