//! A request, from its head to the response that it is answered with.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use http::{HeaderValue, Method, Request, Response, StatusCode, Version, header};

use super::activity::Activity;
use super::ending::{Ending, Outgoing};
use super::headers::BadHost;
use super::path::{self, Verdict};
use super::{Manager, headers, host};
use crate::codec::client::STREAM_WINDOW;
use crate::codec::{Body, Malformed, Pace};
use crate::config::BufferLimit;
use crate::formatter::Flags;
use crate::http_filter::TOO_LARGE;
use crate::router::{Downstream, ResponseBody, Stream, local_reply};

/// A connection as its requests see it.
pub(super) struct Client {
    pub(super) manager: Arc<Manager>,
    pub(super) downstream: Rc<Downstream>,
    pub(super) activity: Rc<Activity>,
    pub(super) buffer_limit: BufferLimit,
}

impl Client {
    /// Answers one request. Boxes what must live until the response is out: this future
    /// and the response are moved around by the codec.
    pub(super) async fn handle(
        self: Rc<Self>,
        request: Result<Request<Body>, Malformed>,
        pace: Option<Rc<Pace>>,
    ) -> Response<Outgoing> {
        let (request, malformed) = match request {
            Ok(request) => (request, None),
            Err(error) => (nothing(pace.is_some()), Some(error)),
        };
        let (mut ending, body) = self.begin(request);
        if malformed == Some(Malformed::Cut) {
            ending.is_malformed = true;
            let nothing = local_reply(&ending.stream, StatusCode::BAD_REQUEST, "");
            return nothing.map(Outgoing::told);
        }
        let refusal = match malformed {
            Some(error) => Some(ending.refuse(error)),
            None => self.refusal(&mut ending),
        };
        let response = match refusal {
            Some(refusal) => refusal,
            None => self.manager.filters.run(&mut ending.stream, body).await,
        };
        if let Some(pace) = pace {
            pace.limit(ending.idle_timeout());
            ending.pace = Some(pace);
        }
        // Envoy: who gets a 400 of the proxy's own may not know where its request ends.
        let details = ending.stream.details;
        let is_lost = response.status() == StatusCode::BAD_REQUEST && details != "via_upstream";
        ending.closes |= is_lost || details == TOO_LARGE;
        let closes = ending.closes && !self.activity.is_http2();
        let mut response = self.finish(ending, response);
        if (closes || self.ends_with_a_response())
            && response.status() != StatusCode::SWITCHING_PROTOCOLS
        {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response
    }

    /// Whether HTTP/1 is to hear that its connection ends: as in Envoy, also when health
    /// checks are to fail.
    fn ends_with_a_response(&self) -> bool {
        let is_failing = &self.downstream.worker.shared.is_failing;
        self.activity.ends_with_a_response()
            || (is_failing.load(Relaxed) && !self.activity.is_http2())
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
        let config = &self.manager.config;
        if self.activity.begin(config.max_requests_per_connection) {
            stats.cx_max_requests_reached.inc();
        }
        let stream = Stream {
            request_meter,
            request_timeout: config.request_timeout,
            idle_timeout: config.stream_idle_timeout,
            max_duration: config.max_stream_duration,
            local_replies: self.manager.local_replies.clone(),
            body_limit: self.body_limit(is_http2),
            ..Stream::new(Rc::clone(&self.downstream), self.downstream.remote, head)
        };
        let ending = Ending {
            manager: Arc::clone(&self.manager),
            stream,
            activity: Rc::clone(&self.activity),
            pace: None,
            status: None,
            response_headers: None,
            response_trailers: None,
            tunnel: None,
            is_malformed: false,
            closes: false,
            bytes_sent: 0,
            is_complete: false,
        };
        (Box::new(ending), body)
    }

    /// How much of a request's body may be kept: as in Envoy the connection's limit, or what
    /// the window of a stream lets come.
    fn body_limit(&self, is_http2: bool) -> u64 {
        let limit = self.buffer_limit;
        match (is_http2, self.manager.config.http2.initial_stream_window_size) {
            (false, _) => limit.bytes(),
            (true, Some(window)) => window.into(),
            (true, None) => limit.bytes().max(limit.window(None, STREAM_WINDOW).into()),
        }
    }

    /// Brings the head into shape and finds its route; a response when the request cannot
    /// be forwarded.
    fn refusal(&self, ending: &mut Ending) -> Option<Response<ResponseBody>> {
        let config = &self.manager.config;
        if !headers::take_underscores(&mut ending.stream.head.headers, config.underscores) {
            ending.closes = true;
            return Some(ending.refuse(Malformed::Underscore));
        }
        match headers::normalise(&mut ending.stream.head) {
            Ok(()) => {}
            Err(BadHost::Invalid) => {
                ending.closes = true;
                return Some(ending.refuse(Malformed::Authority));
            }
            Err(BadHost::Missing) => {
                ending.closes = true;
                ending.stream.details = "missing_host_header";
                return Some(local_reply(&ending.stream, StatusCode::BAD_REQUEST, ""));
            }
        }
        if let Some(refusal) = self.normalise_path(ending) {
            return Some(refusal);
        }
        let stream = &mut ending.stream;
        let local_port = stream.downstream.local.port();
        host::strip(&mut stream.head, config.strip_port, config.strip_host_dot, local_port);
        let upgrade = headers::asked_upgrade(&stream.head);
        headers::remove_hop_by_hop(&mut stream.head.headers);
        stream.remote = self.manager.prepare_request(&mut stream.head.headers, &stream.downstream);
        stream.route = self.manager.routes.route(&stream.head);
        let upgrade = upgrade?;
        let of_route = stream.route.as_ref()?.allows_upgrade(upgrade.as_bytes());
        let of_manager = || config.upgrades.allow(upgrade.as_bytes());
        if !of_route.or_else(of_manager).unwrap_or(false) {
            self.manager.stats.rq_ws_on_non_ws_route.inc();
            stream.details = "upgrade_failed";
            return Some(local_reply(stream, StatusCode::FORBIDDEN, ""));
        }
        self.manager.stats.cx_upgrades_total.inc();
        stream.is_upgrade = true;
        if stream.head.method != Method::CONNECT {
            headers::restore_upgrade(&mut stream.head.headers, upgrade);
        }
        None
    }

    /// Brings the path into its normal form, or says why not.
    fn normalise_path(&self, ending: &mut Ending) -> Option<Response<ResponseBody>> {
        let (stream, stats) = (&mut ending.stream, &self.manager.stats);
        let mut verdict = path::normalise(&mut stream.head, self.manager.config.path);
        if verdict == Verdict::Redirect && stream.is_grpc() {
            // Who speaks gRPC follows no redirects.
            verdict = Verdict::Refuse;
        }
        match verdict {
            Verdict::Take if stream.head.uri.path() == "*" => {
                stats.rq_non_relative_path.inc();
                stream.details = "absolute_path_rejected";
                Some(local_reply(stream, StatusCode::NOT_FOUND, ""))
            }
            Verdict::Take => None,
            Verdict::Refuse => {
                stats.rq_failed_path_normalization.inc();
                stream.details = "path_normalization_failed";
                ending.closes = true;
                Some(local_reply(&ending.stream, StatusCode::BAD_REQUEST, ""))
            }
            Verdict::Redirect => {
                stats.rq_redirected_with_normalized_path.inc();
                stream.details = "path_normalization_failed";
                let mut response = local_reply(stream, StatusCode::TEMPORARY_REDIRECT, "");
                if let Ok(location) = HeaderValue::try_from(stream.head.uri.to_string()) {
                    response.headers_mut().insert(header::LOCATION, location);
                }
                Some(response)
            }
        }
    }

    /// Finishes a response and binds the request's end to that of its body.
    fn finish(
        &self,
        mut ending: Box<Ending>,
        mut response: Response<ResponseBody>,
    ) -> Response<Outgoing> {
        let is_connect = ending.stream.head.method == Method::CONNECT;
        let is_switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if is_switched && (is_connect || !ending.stream.is_upgrade) {
            let details = "upstream_reset_before_response_started{protocol_error}";
            ending.stream.fail(Flags::UPSTREAM_PROTOCOL_ERROR, details);
            response = local_reply(&ending.stream, StatusCode::BAD_GATEWAY, "");
        } else if is_switched || (is_connect && response.status().is_success()) {
            ending.begin_tunnel();
            response.headers_mut().remove(header::CONTENT_LENGTH);
        }
        let protocol = response.headers_mut().remove(header::UPGRADE);
        headers::remove_hop_by_hop(response.headers_mut());
        if ending.stream.head.method == Method::HEAD
            && let Some(size) = response.body_mut().withhold()
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(size));
        }
        // What an upstream says of a request that it has not got is no answer in time.
        let service_time = ending.stream.service_time.filter(|_| !ending.is_request_open());
        let request = &ending.stream.head.headers;
        self.manager.finish_response(response.headers_mut(), request, service_time);
        *response.version_mut() = Version::HTTP_11;
        ending.status = Some(response.status());
        if ending.is_request_open() {
            self.manager.stats.rq_response_before_rq_complete.inc();
        }
        if !self.manager.logs.is_empty() {
            ending.response_headers = Some(response.headers().clone());
        }
        if let Some(protocol) = protocol
            && ending.tunnel.is_some()
        {
            headers::restore_upgrade(response.headers_mut(), protocol);
        }
        response.map(|body| Outgoing::new(body, ending))
    }
}

/// What is known of a request that is none.
fn nothing(is_http2: bool) -> Request<Body> {
    let mut request = Request::<Body>::default();
    *request.version_mut() = if is_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    request
}
