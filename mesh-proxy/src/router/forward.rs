//! Forwarding a request to a cluster.

use std::future::poll_fn;
use std::pin::pin;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::attempt::{Exchange, Failure, FailureKind, Try, attempt};
use super::timers::{Expired, Timers};
use super::unprocessed::MAX_REFUSALS;
use super::{ResponseBody, Stream, change_request, local_reply, retry, rewrite, unprocessed};
use crate::access_log::Flags;
use crate::cluster::{Cluster, Permit};
use crate::codec::client::SendErrorKind;
use crate::codec::{Body, Recording, Replay};
use crate::config::{ClusterName, Destination, RetryPolicy, RoutingPriority};
use crate::endpoint::Verdict;
use crate::routes::{CompiledForward, Route};

/// What of a body is kept so that a retry policy can be followed.
const MAX_REPLAY: usize = 64 * 1024;

/// How many closed connections a request may meet.
const MAX_STALE: u32 = 3;

const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const EXPECTED_TIMEOUT: HeaderName = HeaderName::from_static("x-envoy-expected-rq-timeout-ms");

/// Sends the request to a cluster of the route, and again where that is safe or asked for.
pub(super) async fn forward(
    stream: &mut Stream,
    route: &Route,
    forward: &CompiledForward,
    body: Body,
) -> Response<ResponseBody> {
    let destination = route.destination();
    let Some(cluster) = destination.and_then(|destination| cluster(stream, destination)) else {
        stream.fail(Flags::NO_CLUSTER, "cluster_not_found");
        return local_reply(stream, forward.config.not_found, "");
    };
    stream.cluster = Some(Arc::clone(&cluster));
    prepare(stream, route, forward);
    let idle = forward.config.idle_timeout.unwrap_or(stream.idle_timeout);
    // A WebSocket lasts as long as it does.
    let timeout = forward.config.timeout.filter(|_| stream.upgrade.is_none());
    let mut timers = Timers::new(stream, timeout, idle);
    let outcome = {
        let mut attempts = pin!(Attempts::new(forward, &cluster, &body).run(stream, body));
        poll_fn(|cx| match attempts.as_mut().poll(cx) {
            Poll::Ready(outcome) => Poll::Ready(Ok(outcome)),
            Poll::Pending => timers.poll(cx).map(Err),
        })
        .await
    };
    match outcome {
        Ok(Ok((mut response, exchange))) => {
            unprocessed::remove_mark(&mut response);
            stream.details = "via_upstream";
            timers.last = std::time::Instant::now();
            cluster.stats().count_response(response.status());
            ResponseBody::upstream(response, &stream.head.method, exchange, timers)
        }
        Ok(Err(_)) if stream.is_broken() => {
            stream.fail(Flags::DOWNSTREAM_PROTOCOL_ERROR, "downstream_body_error");
            local_reply(stream, StatusCode::BAD_REQUEST, "")
        }
        Ok(Err(failure)) => {
            let (status, flags, text, details) = failure.reply();
            stream.fail(flags, details);
            cluster.stats().count_response(status);
            let mut response = local_reply(stream, status, text.into_owned());
            unprocessed::mark(stream, &failure, &mut response);
            stream.upstream_failure = failure.transport_failure;
            response
        }
        Err(expired) => timed_out(stream, &cluster, expired),
    }
}

/// The cluster that a request goes to, if it exists.
fn cluster(stream: &Stream, destination: &Destination) -> Option<Arc<Cluster>> {
    let name = match &destination.cluster {
        ClusterName::Fixed(name) => name,
        ClusterName::Header(name) => stream.head.headers.get(name)?.to_str().ok()?,
    };
    stream.downstream.worker.shared.clusters.get(name)
}

/// Changes the head as the route says, in Envoy's order.
fn prepare(stream: &mut Stream, route: &Route, forward: &CompiledForward) {
    let rule = route.rule();
    if let Some(to) = route.destination() {
        change_request(stream, slice::from_ref(&to.request_headers));
        if let Some(host) = &to.host_rewrite {
            stream.head.headers.insert(header::HOST, host.clone());
        }
    }
    change_request(stream, &rule.request_headers);
    let head = &mut stream.head;
    rewrite::host(head, &forward.config);
    if let Some(rewrite) = &forward.config.path_rewrite {
        rewrite::path(head, &rule.matcher, rewrite);
    }
    if let Some(timeout) = &forward.expected_timeout {
        head.headers.insert(EXPECTED_TIMEOUT, timeout.clone());
    }
}

fn timed_out(stream: &mut Stream, cluster: &Cluster, expired: Expired) -> Response<ResponseBody> {
    let status = StatusCode::GATEWAY_TIMEOUT;
    match expired {
        Expired::Request => {
            stream.fail(Flags::DURATION_TIMEOUT, "request_overall_timeout");
            local_reply(stream, StatusCode::REQUEST_TIMEOUT, "request timeout")
        }
        Expired::Response => {
            cluster.stats().rq_timeout.inc();
            cluster.stats().count_response(status);
            count_timeout(stream);
            stream.fail(Flags::UPSTREAM_REQUEST_TIMEOUT, "response_timeout");
            local_reply(stream, status, "upstream request timeout")
        }
        Expired::Idle => {
            stream.fail(Flags::STREAM_IDLE_TIMEOUT, "stream_idle_timeout");
            local_reply(stream, status, "stream timeout")
        }
    }
}

/// Counts it to the endpoint whose answer did not come in time, and gives its id.
fn count_timeout(stream: &Stream) -> Option<u64> {
    let endpoint = stream.upstream_host.as_ref()?;
    endpoint.stats.rq_timeout.fetch_add(1, Relaxed);
    if let Some(cluster) = &stream.cluster {
        cluster.report(endpoint, Verdict::TimedOut);
    }
    Some(endpoint.id)
}

/// How a try ended.
type Outcome = Result<(Response<Body>, Exchange), Failure>;

/// Another try.
struct Again {
    body: Body,
    /// How long to wait before it.
    back_off: Option<Duration>,
}

/// The tries of one request.
struct Attempts<'a> {
    forward: &'a CompiledForward,
    cluster: &'a Arc<Cluster>,
    /// There is no body: it can always be sent again.
    is_bodiless: bool,
    recording: Option<Recording>,
    tried: Vec<u64>,
    /// Retries by policy so far.
    retries: u32,
    /// Whether the try that is always safe was made.
    repeated: bool,
    /// How many connections had closed before the request came to them.
    stale: u32,
    /// How many endpoints' own proxies have said that it came to nobody.
    refusals: u32,
    fresh: bool,
}

impl<'a> Attempts<'a> {
    fn new(forward: &'a CompiledForward, cluster: &'a Arc<Cluster>, body: &Body) -> Self {
        Self {
            forward,
            cluster,
            is_bodiless: body.is_empty(),
            recording: None,
            tried: Vec::new(),
            retries: 0,
            repeated: false,
            stale: 0,
            refusals: 0,
            fresh: false,
        }
    }

    async fn run(mut self, stream: &mut Stream, mut body: Body) -> Outcome {
        let policy = self.forward.config.retry.as_ref();
        if policy.is_some() && !self.is_bodiless && stream.upgrade.is_none() {
            let recording = Replay::record(body, MAX_REPLAY);
            body = recording.body().unwrap_or_default();
            self.recording = Some(recording);
        }
        // Held until the retry is over: the limit is on retries at work.
        let mut permit = None;
        loop {
            if self.forward.count_attempts {
                let number = 1 + self.retries + self.refusals + u32::from(self.repeated);
                stream.head.headers.insert(ATTEMPT_COUNT, HeaderValue::from(number));
            }
            let mut outcome = self.attempt(stream, body, policy).await;
            let Some(again) = self.again(stream, policy, &mut outcome, &mut permit) else {
                if self.retries > 0 && matches!(&outcome, Ok((r, _)) if r.status().is_success()) {
                    self.cluster.stats().rq_retry_success.inc();
                }
                return outcome;
            };
            // Whoever is still at work on the old try need not go on.
            drop(outcome);
            body = again.body;
            if let Some(back_off) = again.back_off {
                // Boxed: a retry is rare, and a timer large.
                Box::pin(tokio::time::sleep(back_off)).await;
            }
        }
    }

    async fn attempt(
        &self,
        stream: &mut Stream,
        body: Body,
        policy: Option<&RetryPolicy>,
    ) -> Outcome {
        let to = Try { cluster: self.cluster, tried: &self.tried, fresh: self.fresh };
        let Some(timeout) = policy.and_then(|policy| policy.per_try_timeout) else {
            return attempt(stream, body, &to).await;
        };
        match tokio::time::timeout(timeout, attempt(stream, body, &to)).await {
            Ok(outcome) => outcome,
            Err(_) => {
                self.cluster.stats().rq_per_try_timeout.inc();
                let endpoint = count_timeout(stream);
                let kind = FailureKind::PerTryTimeout;
                let transport_failure = None;
                Err(Failure { kind, endpoint, reused: false, body: None, transport_failure })
            }
        }
    }

    /// Whether a connection had closed before the request came to it. Trying again costs
    /// nothing then: it does not count as the try that is always safe.
    fn may_be_stale(&self, failure: &Failure) -> bool {
        failure.kind == FailureKind::Send(SendErrorKind::NotSent) && self.stale < MAX_STALE
    }

    /// Another try, if there is to be one; otherwise this outcome stands. The old try gets
    /// no more of the request's body when there is.
    fn again(
        &mut self,
        stream: &mut Stream,
        policy: Option<&RetryPolicy>,
        outcome: &mut Outcome,
        permit: &mut Option<Permit>,
    ) -> Option<Again> {
        let can_resend = self.can_resend(outcome) && !stream.is_broken();
        if let Err(failure) = outcome
            && (!self.repeated || self.may_be_stale(failure))
            && retry::is_provably_safe(failure, &stream.head.method, can_resend)
        {
            if matches!(failure.kind, FailureKind::Connect | FailureKind::ConnectTimeout) {
                self.tried.extend(failure.endpoint);
            }
            match self.may_be_stale(failure) {
                true => self.stale += 1,
                false => self.repeated = true,
            }
            let body = self.body_again(outcome)?;
            self.fresh = true;
            self.cluster.stats().rq_retry.inc();
            return Some(Again { body, back_off: None });
        }
        let method = &stream.head.method;
        if let Some(endpoint) = self.refused_by(outcome, method).filter(|_| can_resend) {
            self.tried.push(endpoint);
            self.refusals += 1;
            let body = self.body_again(outcome)?;
            self.cluster.stats().rq_retry.inc();
            return Some(Again { body, back_off: None });
        }
        let policy = policy?;
        let (wanted, endpoint) = match outcome {
            Ok((response, exchange)) => (
                policy.wants_after_response(response.status(), response.headers()),
                Some(exchange.endpoint()),
            ),
            Err(failure) => (policy.wants_after_failure(failure), failure.endpoint),
        };
        if !wanted || !can_resend {
            return None;
        }
        let stats = self.cluster.stats();
        if self.retries >= policy.retries {
            stream.flags.insert(Flags::UPSTREAM_RETRY_LIMIT);
            stats.rq_retry_limit_exceeded.inc();
            return None;
        }
        *permit = None;
        let Ok(held) = self.cluster.permit_retry(RoutingPriority::default()) else {
            stats.rq_retry_overflow.inc();
            return None;
        };
        *permit = Some(held);
        let body = self.body_again(outcome)?;
        stats.rq_retry.inc();
        self.tried.extend(endpoint);
        let back_off = policy.back_off_after(self.retries);
        self.retries += 1;
        Some(Again { body, back_off: Some(back_off) })
    }

    /// The endpoint whose own proxy says that nobody has answered, if another may be asked.
    fn refused_by(&self, outcome: &Outcome, method: &Method) -> Option<u64> {
        let Ok((response, exchange)) = outcome else { return None };
        let again = self.refusals < MAX_REFUSALS && unprocessed::allows(response, exchange, method);
        again.then(|| exchange.endpoint())
    }

    /// Whether the whole body can be had once more.
    fn can_resend(&self, outcome: &Outcome) -> bool {
        let unsent = matches!(outcome, Err(Failure { body: Some(_), .. }));
        unsent || self.recording.as_ref().map_or(self.is_bodiless, Recording::is_kept)
    }

    /// The whole body once more, if it can be had.
    fn body_again(&self, outcome: &mut Outcome) -> Option<Body> {
        if let Err(failure) = outcome
            && let Some(unsent) = failure.body.take()
        {
            return Some(unsent);
        }
        match &self.recording {
            Some(recording) => recording.body(),
            None => self.is_bodiless.then(Body::empty),
        }
    }
}
