//! The end of a request: however it comes, it is counted and logged once.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, Version};
use http_body::{Frame, SizeHint};

use super::Manager;
use super::activity::Activity;
use crate::codec::{BodyError, Malformed, Pace};
use crate::formatter::{Flags, LogType};
use crate::http_filter::TOO_LARGE;
use crate::router::{MAX_DURATION, REQUEST_TIMEOUT, ResponseBody, Routed, Stream, local_reply};
use crate::stats::Held;

/// A request with what is told of it when it is dropped.
pub(super) struct Ending {
    pub(super) manager: Arc<Manager>,
    pub(super) stream: Stream,
    pub(super) activity: Rc<Activity>,
    /// Of an HTTP/2 stream.
    pub(super) pace: Option<Rc<Pace>>,
    pub(super) status: Option<StatusCode>,
    /// Kept only for a log.
    pub(super) response_headers: Option<HeaderMap>,
    /// The same.
    pub(super) response_trailers: Option<HeaderMap>,
    /// Counts a WebSocket for as long as it lasts.
    pub(super) tunnel: Option<Held>,
    /// There is no request to tell of.
    pub(super) is_malformed: bool,
    /// An HTTP/1 connection ends with the response.
    pub(super) closes: bool,
    pub(super) bytes_sent: u64,
    /// The response went out to its end.
    pub(super) is_complete: bool,
}

/// A response's body on its way to the client; the request ends with it.
pub(super) struct Outgoing {
    body: ResponseBody,
    ending: Option<Box<Ending>>,
}

impl Outgoing {
    pub(super) fn new(body: ResponseBody, mut ending: Box<Ending>) -> Self {
        ending.is_complete = http_body::Body::is_end_stream(&body);
        // A body that is complete is not asked again: the request ends here.
        let ending = (!ending.is_complete).then_some(ending);
        Self { body, ending }
    }

    /// A body whose request has ended.
    pub(super) fn told(body: ResponseBody) -> Self {
        Self { body, ending: None }
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        // HTTP/1's codec asks for no more than the head promised.
        if let Some(ending) = &mut self.ending
            && self.body.is_whole()
        {
            ending.is_complete = true;
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let Poll::Ready(frame) = &polled else { return polled };
        let is_last = http_body::Body::is_end_stream(&self.body);
        if let Some(ending) = &mut self.ending {
            ending.see(frame.as_ref(), is_last);
            if ending.is_complete || matches!(frame, Some(Err(_))) {
                self.ending = None;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Ending {
    /// Whether there is more of the request to come, which nobody will read.
    pub(super) fn is_request_open(&self) -> bool {
        let meter = self.stream.request_meter.as_ref();
        self.is_malformed
            || self.stream.details == TOO_LARGE
            || meter.is_some_and(|meter| meter.ended().is_none() || meter.is_broken())
    }

    /// The answer to what is no request.
    pub(super) fn refuse(&mut self, error: Malformed) -> Response<ResponseBody> {
        self.is_malformed = true;
        let (flags, text) = match error {
            Malformed::HeadTimeout => {
                self.manager.stats.rq_header_timeout.inc();
                (Flags::NONE, "request header timeout")
            }
            Malformed::HeadIdle => (Flags::STREAM_IDLE_TIMEOUT, "stream timeout"),
            _ => {
                let reason = error.status().canonical_reason().unwrap_or_default();
                (Flags::DOWNSTREAM_PROTOCOL_ERROR, reason)
            }
        };
        let is_http2 = self.stream.head.version == Version::HTTP_2;
        let details = match error {
            Malformed::TooMany if is_http2 => "http2.too_many_headers",
            Malformed::Underscore if is_http2 => "http2.unexpected_underscore",
            error => error.details(),
        };
        self.stream.fail(flags, details);
        local_reply(&self.stream, error.status(), text)
    }

    /// The response has opened a WebSocket, which lasts until one side ends it or nothing
    /// was said for as long as a stream may be idle.
    pub(super) fn begin_tunnel(&mut self) {
        let stats = &self.manager.stats;
        self.tunnel = Some(stats.cx_upgrades_active.hold());
    }

    /// How long nothing may happen: what the route says, or the connection manager.
    pub(super) fn idle_timeout(&self) -> Option<Duration> {
        let of_route = self.stream.route.as_ref().and_then(|route| route.idle_timeout());
        of_route.unwrap_or(self.stream.idle_timeout)
    }

    fn see(&mut self, frame: Option<&Result<Frame<Bytes>, BodyError>>, is_last: bool) {
        match frame {
            Some(Ok(frame)) => {
                self.bytes_sent += frame.data_ref().map_or(0, Bytes::len) as u64;
                self.is_complete = is_last || frame.is_trailers();
                if !self.manager.logs.is_empty() {
                    self.response_trailers = frame.trailers_ref().cloned();
                }
            }
            Some(Err(error)) => self.fail(error),
            None => self.is_complete = true,
        }
    }

    /// The response broke off.
    fn fail(&mut self, error: &BodyError) {
        self.manager.stats.rq_tx_reset.inc();
        // HTTP/1 has no resets but of the connection, which Envoy counts as the client's, too.
        if self.stream.head.version != Version::HTTP_2 {
            self.manager.stats.rq_rx_reset.inc();
        }
        let (flags, details) = match error {
            BodyError::ResponseTimeout => (Flags::UPSTREAM_REQUEST_TIMEOUT, "response_timeout"),
            BodyError::RequestTimeout => (Flags::NONE, REQUEST_TIMEOUT),
            BodyError::DurationTimeout => (Flags::NONE, MAX_DURATION),
            BodyError::StreamIdleTimeout => (Flags::STREAM_IDLE_TIMEOUT, "stream_idle_timeout"),
            error if error.is_stream_reset() => (
                Flags::UPSTREAM_REMOTE_RESET,
                "upstream_reset_after_response_started{remote_reset}",
            ),
            BodyError::Malformed(_) => (
                Flags::UPSTREAM_PROTOCOL_ERROR,
                "upstream_reset_after_response_started{protocol_error}",
            ),
            BodyError::Http2(_)
            | BodyError::Connection(_)
            | BodyError::Superseded
            | BodyError::Uncopied => (
                Flags::UPSTREAM_CONNECTION_TERMINATION,
                "upstream_reset_after_response_started{connection_termination}",
            ),
        };
        self.stream.fail(flags, details);
        // Told already.
        self.is_complete = true;
    }

    fn count(&self) {
        let stats = &self.manager.stats;
        stats.rq_active.dec();
        stats.rq_time.record(self.stream.started.elapsed().as_millis() as u64);
        // Envoy: what a health check gets is no answer to a user.
        let status = self.status.filter(|_| self.stream.filters.health_check.is_none());
        if let Some(status) = status {
            stats.rq_by_class.count(status);
        }
        match self.stream.routed {
            None => {}
            Some(Routed::Direct) => {
                stats.router_total.inc();
                stats.direct_response.inc();
            }
            Some(Routed::Other) => stats.router_total.inc(),
        }
        if self.stream.flags.contains(Flags::NO_ROUTE) {
            stats.no_route.inc();
        }
        if self.stream.flags.contains(Flags::NO_CLUSTER) {
            stats.no_cluster.inc();
        }
        if self.stream.details == MAX_DURATION {
            stats.rq_max_duration_reached.inc();
        }
        if self.stream.flags.contains(Flags::DOWNSTREAM_PROTOCOL_ERROR) {
            stats.cx_protocol_error.inc();
        }
        if self.stream.details == REQUEST_TIMEOUT {
            stats.rq_timeout.inc();
        }
        if self.stream.details == TOO_LARGE {
            stats.rq_too_large.inc();
        }
        if self.stream.flags.contains(Flags::STREAM_IDLE_TIMEOUT) {
            stats.rq_idle_timeout.inc();
        }
    }

    fn log(&self) {
        let stream = &self.stream;
        let details = stream.details_with_reason();
        let mut record = stream.record();
        record.kind = LogType::DownstreamEnd;
        if self.is_malformed {
            record.protocol = record.request.take().map(|request| request.protocol());
        }
        record.response_headers = self.response_headers.as_ref();
        record.response_trailers = self.response_trailers.as_ref();
        record.response_code = self.status.map_or(0, |status| status.as_u16());
        record.response_status = record.response_code;
        record.response_code_details = Some(&*details).filter(|details| !details.is_empty());
        record.bytes_sent = self.bytes_sent;
        self.manager.logs.iter().for_each(|log| log.write(&record));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if !self.is_complete && self.pace.as_ref().is_some_and(|pace| pace.is_stalled()) {
            self.fail(&BodyError::StreamIdleTimeout);
        } else if !self.is_complete {
            self.manager.stats.rq_rx_reset.inc();
            self.stream
                .fail(Flags::DOWNSTREAM_CONNECTION_TERMINATION, "downstream_remote_disconnect");
        } else if self.tunnel.is_none() && self.is_request_open() {
            // The rest of the request is not read, and its stream or connection ends.
            self.manager.stats.rq_rx_reset.inc();
        }
        self.activity.end();
        self.count();
        if !self.manager.logs.is_empty() {
            self.log();
        }
    }
}
