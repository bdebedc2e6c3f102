//! The tries of a request: the first, and what comes after it where that is safe or asked for.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Response};

use super::attempt::{Choice, Exchange, Failure, FailureKind, Try, attempt};
use super::timeouts::Limits;
use super::unprocessed::MAX_REFUSALS;
use super::{Stream, retry, unprocessed};
use crate::cluster::{Cluster, Permit};
use crate::codec::client::SendErrorKind;
use crate::codec::{Body, Recording, Replay};
use crate::config::RetryPolicy;
use crate::endpoint::Verdict;
use crate::formatter::Flags;
use crate::routes::CompiledForward;

/// How many closed connections a request may meet.
const MAX_STALE: u32 = 3;

pub(super) const ATTEMPT_COUNT: HeaderName = HeaderName::from_static("x-envoy-attempt-count");
const IS_TIMEOUT_RETRY: HeaderName = HeaderName::from_static("x-envoy-is-timeout-retry");

/// How a try ended.
pub(super) type Outcome = Result<(Response<Body>, Exchange), Failure>;

/// Another try.
struct Again {
    body: Body,
    /// How long to wait before it.
    back_off: Option<Duration>,
}

/// The tries of one request.
pub(super) struct Attempts<'a> {
    forward: &'a CompiledForward,
    cluster: &'a Arc<Cluster>,
    limits: Limits,
    choice: Choice<'a>,
    /// There is no body: it can always be sent again.
    is_bodiless: bool,
    recording: Option<Recording>,
    tried: Vec<u64>,
    /// Whether the try that is always safe was made.
    repeated: bool,
    /// How many connections had closed before the request came to them.
    stale: u32,
    /// How many endpoints' own proxies have said that it came to nobody.
    refusals: u32,
    fresh: bool,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(
        forward: &'a CompiledForward,
        limits: Limits,
        choice: Choice<'a>,
        cluster: &'a Arc<Cluster>,
        body: &Body,
    ) -> Self {
        Self {
            forward,
            cluster,
            limits,
            choice,
            is_bodiless: body.is_empty(),
            recording: None,
            tried: Vec::new(),
            repeated: false,
            stale: 0,
            refusals: 0,
            fresh: false,
        }
    }

    /// Tries until there is an outcome that stands.
    pub(super) async fn run(
        mut self,
        stream: &mut Stream,
        policy: Option<&RetryPolicy>,
        mut body: Body,
    ) -> Outcome {
        let policy = policy.filter(|policy| policy.allows(&stream.head));
        if policy.is_some() && !self.is_bodiless && !stream.is_upgrade {
            let limit = self.forward.config.body_limit.unwrap_or(stream.body_limit);
            let recording = Replay::record(body, limit);
            body = recording.body().unwrap_or_default();
            self.recording = Some(recording);
        }
        // Held until the retry is over: the limit is on retries at work.
        let mut permit = None;
        loop {
            if self.forward.attempts.in_request {
                let number = stream.attempts + 1;
                stream.head.headers.insert(ATTEMPT_COUNT, HeaderValue::from(number));
            }
            let mut outcome = self.attempt(stream, body).await;
            let Some(again) = self.again(stream, policy, &mut outcome, &mut permit) else {
                if stream.retries > 0 && policy.is_some_and(|policy| !policy.wants_after(&outcome))
                {
                    self.cluster.stats().rq_retry_success.inc();
                }
                return outcome;
            };
            let is_timeout = matches!(&outcome, Err(failure) if failure.is_timeout());
            // Whoever is still at work on the old try need not go on.
            drop(outcome);
            body = again.body;
            if let Some(back_off) = again.back_off {
                // Boxed: a retry is rare, and a timer large.
                Box::pin(tokio::time::sleep(back_off)).await;
            }
            self.tell(stream, is_timeout);
        }
    }

    /// Tells the upstream of a retry what has changed since the first try.
    fn tell(&self, stream: &mut Stream, is_timeout: bool) {
        let headers = &mut stream.head.headers;
        self.limits.tell(headers, &self.forward.config, stream.started.elapsed());
        if self.forward.attempts.is_timeout {
            let value = if is_timeout { "true" } else { "false" };
            headers.insert(IS_TIMEOUT_RETRY, HeaderValue::from_static(value));
        }
    }

    async fn attempt(&self, stream: &mut Stream, body: Body) -> Outcome {
        let to = Try {
            cluster: self.cluster,
            tried: &self.tried,
            fresh: self.fresh,
            choice: self.choice,
        };
        let Some(timeout) = self.limits.per_try else {
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
        let wanted = policy.filter(|policy| policy.wants_after(outcome));
        if let Err(failure) = outcome
            // What the policy is for is counted and limited by it.
            && (self.may_be_stale(failure) || (wanted.is_none() && !self.repeated))
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
        let policy = wanted.filter(|_| can_resend)?;
        let endpoint = match outcome {
            Ok((_, exchange)) => Some(exchange.endpoint()),
            Err(failure) => failure.endpoint,
        };
        let stats = self.cluster.stats();
        if stream.retries >= policy.retries {
            stream.flags.insert(Flags::UPSTREAM_RETRY_LIMIT);
            stats.rq_retry_limit_exceeded.inc();
            return None;
        }
        *permit = None;
        let Ok(held) = self.cluster.permit_retry(self.choice.priority) else {
            stream.flags.insert(Flags::UPSTREAM_OVERFLOW);
            stats.rq_retry_overflow.inc();
            return None;
        };
        *permit = Some(held);
        let body = self.body_again(outcome)?;
        stats.rq_retry.inc();
        self.tried.extend(endpoint);
        if policy.omit_canaries && stream.retries == 0 {
            self.cluster.visit(&mut |member| {
                if member.config.is_canary() {
                    self.tried.push(member.endpoint.id);
                }
            });
        }
        let asked = match outcome {
            Ok((response, _)) => {
                stats.count_retried(response.status());
                policy.asked_to_wait(response.headers())
            }
            Err(_) => None,
        };
        let counter = if asked.is_some() {
            &stats.rq_retry_backoff_ratelimited
        } else {
            &stats.rq_retry_backoff_exponential
        };
        counter.inc();
        let back_off = asked.unwrap_or_else(|| policy.back_off_after(stream.retries));
        stream.retries += 1;
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

/// A response stands, or nobody waits for one any more.
impl Drop for Attempts<'_> {
    fn drop(&mut self) {
        let Some(recording) = &self.recording else { return };
        recording.end();
        if !recording.is_kept() {
            self.cluster.stats().rq_abandoned.inc();
        }
    }
}

/// Counts it to the endpoint whose answer did not come in time, and gives its id.
pub(super) fn count_timeout(stream: &Stream) -> Option<u64> {
    let endpoint = stream.upstream_host.as_ref()?;
    endpoint.stats.rq_timeout.fetch_add(1, Relaxed);
    if let Some(cluster) = &stream.cluster {
        cluster.report(endpoint, Verdict::TimedOut);
    }
    Some(endpoint.id)
}
