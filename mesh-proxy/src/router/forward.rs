//! Forwarding a request to a cluster.

use std::pin::pin;
use std::slice;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Response, StatusCode, header};

use super::asked::Asked;
use super::attempt::{Choice, FailureKind};
use super::attempts::{ATTEMPT_COUNT, Attempts, count_timeout};
use super::hash::Hash;
use super::timeouts::Limits;
use super::timers::{Expired, Timers};
use super::{
    MAX_DURATION, REQUEST_TIMEOUT, ResponseBody, Stream, change_request, local_reply, mirror,
    rewrite, unprocessed,
};
use crate::cluster::Cluster;
use crate::codec::Body;
use crate::config::{ClusterName, HostRewrite};
use crate::formatter::Flags;
use crate::routes::{CompiledForward, Route};

/// Says that a circuit breaker is open.
const OVERLOADED: HeaderName = HeaderName::from_static("x-envoy-overloaded");

/// Sends the request to a cluster of the route, and again where that is safe or asked for.
pub(super) async fn forward(
    stream: &mut Stream,
    route: &Route,
    forward: &CompiledForward,
    body: Body,
) -> Response<ResponseBody> {
    let destination = route.destination();
    let Some(cluster) = destination.and_then(|to| cluster(stream, &to.cluster)) else {
        stream.fail(Flags::NO_CLUSTER, "cluster_not_found");
        return local_reply(stream, forward.config.not_found, "");
    };
    stream.cluster = Some(Arc::clone(&cluster));
    prepare(stream, route, forward);
    let idle = forward.config.idle_timeout.unwrap_or(stream.idle_timeout);
    let asked = Asked::take(&mut stream.head.headers, forward.config.retry.as_ref());
    let mut limits = Limits::new(stream, forward, asked.as_deref());
    if stream.is_upgrade {
        // A WebSocket lasts as long as it does.
        limits.response = None;
    }
    let body = match forward.config.mirrors.as_slice() {
        [] => body,
        // What is a tunnel soon is not copied.
        _ if stream.is_upgrade => body,
        mirrors => mirror::send(stream, mirrors, limits.response, body),
    };
    let hash = match forward.config.hash.as_slice() {
        [] => Hash::default(),
        _ if !cluster.config.lb.policy.hashes() => Hash::default(),
        policies => Hash::new(policies, stream),
    };
    let choice = choice(route, forward, hash.value);
    let retry = asked.as_ref().and_then(|asked| asked.retry.as_ref());
    let policy = retry.or(forward.config.retry.as_ref());
    let mut timers = Timers::new(stream, limits, idle);
    let attempts = Attempts::new(forward, limits, choice, &cluster, &body);
    let outcome = {
        let work = pin!(attempts.run(stream, policy, body));
        timers.limit(work).await
    };
    let mut response = match outcome {
        Ok(Ok((mut response, exchange))) => {
            unprocessed::remove_mark(&mut response);
            stream.details = "via_upstream";
            stream.known_status = Some(response.status());
            hash.give(response.headers_mut());
            timers.last = std::time::Instant::now();
            count_response(stream, &cluster, response.status());
            ResponseBody::upstream(response, &stream.head.method, exchange, timers)
        }
        Ok(Err(_)) if stream.is_broken() => {
            stream.fail(Flags::DOWNSTREAM_PROTOCOL_ERROR, "http1.codec_error");
            local_reply(stream, StatusCode::BAD_REQUEST, "Bad Request")
        }
        Ok(Err(failure)) => {
            let (status, flags, text, details) = failure.reply(stream.retries > 0);
            stream.fail(flags, details);
            count_response(stream, &cluster, status);
            let mut response = local_reply(stream, status, text.into_owned());
            unprocessed::mark(stream, &failure, &mut response);
            if failure.kind == FailureKind::Overflow {
                response.headers_mut().insert(OVERLOADED, HeaderValue::from_static("true"));
            }
            stream.upstream_failure = failure.transport_failure;
            response
        }
        // As in Envoy, where it is not the router's, without the router's headers.
        Err(Expired::Whole) => return too_long(stream),
        Err(expired) => {
            let no_content = asked.is_some_and(|asked| asked.no_content);
            timed_out(stream, expired, no_content)
        }
    };
    if forward.attempts.in_response {
        response.headers_mut().insert(ATTEMPT_COUNT, HeaderValue::from(stream.attempts));
    }
    response
}

/// The cluster of this name, or of the name that the request says, if it exists.
pub(super) fn cluster(stream: &Stream, name: &ClusterName) -> Option<Arc<Cluster>> {
    stream.downstream.worker.shared.clusters.get(stream.cluster_name(name)?)
}

/// What the route and the request's hash say of the endpoint.
fn choice<'a>(route: &'a Route, forward: &CompiledForward, hash: Option<u64>) -> Choice<'a> {
    let config = &forward.config;
    let subset = route.destination().map(|to| &to.subset);
    Choice {
        hash,
        subset: subset.filter(|subset| !subset.is_empty()),
        priority: config.priority,
        host: (config.host_rewrite == Some(HostRewrite::Endpoint))
            .then_some(config.append_forwarded_host),
    }
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
}

/// The stream has lasted as long as it may.
fn too_long(stream: &mut Stream) -> Response<ResponseBody> {
    stream.details = MAX_DURATION;
    let mut response = local_reply(stream, late(stream), "downstream duration timeout");
    if stream.is_grpc() {
        // DEADLINE_EXCEEDED, as the client itself would find.
        response.headers_mut().insert("grpc-status", HeaderValue::from(4));
    }
    response
}

/// Whose fault it is: the client's, when it has not sent the whole request.
fn late(stream: &Stream) -> StatusCode {
    let has_request = stream.request_meter.as_ref().is_none_or(|meter| meter.ended().is_some());
    match has_request {
        true => StatusCode::GATEWAY_TIMEOUT,
        false => StatusCode::REQUEST_TIMEOUT,
    }
}

/// Counts a status to the cluster. Envoy: what a health check gets is no answer to a user.
fn count_response(stream: &Stream, cluster: &Cluster, status: StatusCode) {
    if stream.filters.health_check.is_none() {
        cluster.stats().count_response(status);
    }
}

/// The answer to a request that has taken too long. With `no_content` the request asks for
/// 204 when there is no response in time.
pub(crate) fn timed_out(
    stream: &mut Stream,
    expired: Expired,
    no_content: bool,
) -> Response<ResponseBody> {
    match expired {
        Expired::Request => {
            stream.details = REQUEST_TIMEOUT;
            local_reply(stream, StatusCode::REQUEST_TIMEOUT, "request timeout")
        }
        Expired::Response => {
            let (status, text) = match no_content {
                true => (StatusCode::NO_CONTENT, ""),
                false => (StatusCode::GATEWAY_TIMEOUT, "upstream request timeout"),
            };
            if let Some(cluster) = &stream.cluster {
                cluster.stats().rq_timeout.inc();
                count_response(stream, cluster, status);
            }
            count_timeout(stream);
            stream.fail(Flags::UPSTREAM_REQUEST_TIMEOUT, "response_timeout");
            local_reply(stream, status, text)
        }
        Expired::Whole => too_long(stream),
        Expired::Idle => {
            stream.fail(Flags::STREAM_IDLE_TIMEOUT, "stream_idle_timeout");
            local_reply(stream, late(stream), "stream timeout")
        }
    }
}
