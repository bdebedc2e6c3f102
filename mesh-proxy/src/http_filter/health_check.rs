//! Answers health checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt;

use super::{Filter, Outgoing, Request, Step};
use crate::cluster::FAIL_AT_ONCE;
use crate::codec::Body;
use crate::config::{HealthCheckFilter, HealthCheckMode, Name};
use crate::formatter::Flags;
use crate::router::{ResponseBody, Stream, local_reply, timed_out, within_limits};

const CHECKED_CLUSTER: HeaderName =
    HeaderName::from_static("x-envoy-upstream-healthchecked-cluster");

/// Envoy's `envoy.filters.http.health_check`.
pub(super) struct Checks {
    config: Arc<HealthCheckFilter>,
    cache: Cache,
}

/// The upstream's last answer: its status, and until when it holds, in milliseconds since
/// `began`. In one number, so that the two belong together.
struct Cache {
    began: Instant,
    answer: AtomicU64,
}

impl Checks {
    pub(super) fn new(config: &Arc<HealthCheckFilter>) -> Self {
        Self {
            config: Arc::clone(config),
            cache: Cache { began: Instant::now(), answer: AtomicU64::new(0) },
        }
    }

    /// Status and details of the proxy's own answer; `None` when the upstream is to give one.
    fn answer(&self, stream: &Stream) -> Option<(StatusCode, &'static str)> {
        let unavailable = StatusCode::SERVICE_UNAVAILABLE;
        if stream.downstream.worker.shared.is_failing.load(Relaxed) {
            return Some((unavailable, "health_check_failed"));
        }
        match &self.config.mode {
            HealthCheckMode::PassThrough { cache: Some(_) } => {
                Some((self.cache.get()?, "health_check_cached"))
            }
            HealthCheckMode::PassThrough { cache: None } => None,
            HealthCheckMode::Own { clusters } if clusters.is_empty() => {
                Some((StatusCode::OK, "health_check_ok"))
            }
            HealthCheckMode::Own { clusters } => {
                let ill = clusters.iter().find_map(|cluster| illness(stream, cluster));
                Some(match ill {
                    Some(details) => (unavailable, details),
                    None => (StatusCode::OK, "health_check_ok_cluster_healthy"),
                })
            }
        }
    }
}

/// Reads a body to its end, and keeps nothing of it.
async fn read(mut body: Body) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// Why a cluster is not as healthy as it should be.
fn illness(stream: &Stream, (name, percent): &(Name, u64)) -> Option<&'static str> {
    let Some(cluster) = stream.downstream.worker.shared.clusters.get(name) else {
        return Some("health_check_failed_no_cluster_found");
    };
    let (healthy, total) = cluster.membership();
    if total == 0 {
        return (*percent > 0).then_some("health_check_failed_cluster_empty");
    }
    let is_ill = healthy.saturating_mul(100) < total.saturating_mul(*percent);
    is_ill.then_some("health_check_failed_cluster_unhealthy")
}

impl Filter for Checks {
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let Request { stream, body, said } = request;
        if !self.config.headers.iter().all(|matcher| matcher.matches(&stream.head)) {
            return Step::Next;
        }
        stream.filters.health_check = Some(said.name.into());
        let Some((status, details)) = self.answer(stream) else { return Step::Next };
        stream.details = details;
        if !status.is_success() {
            stream.flags.insert(Flags::FAILED_LOCAL_HEALTH_CHECK);
        }
        if body.is_empty() {
            return Step::Answer(local_reply(stream, status, ""));
        }
        // Envoy answers when the request has come.
        let rest = std::mem::take(body);
        Step::Wait(Box::pin(async move {
            Some(match within_limits(stream, read(rest)).await {
                Ok(()) => local_reply(stream, status, ""),
                Err(why) => timed_out(stream, why, false),
            })
        }))
    }

    fn on_response(&self, outgoing: &mut Outgoing<'_>) {
        let Outgoing { stream, response, said } = outgoing;
        let shared = &stream.downstream.worker.shared;
        if stream.filters.health_check.as_deref() == Some(said.name) {
            if let HealthCheckMode::PassThrough { cache: Some(time) } = self.config.mode {
                self.cache.put(response, time, stream.details);
            }
            let name =
                shared.service_cluster.get().and_then(|name| HeaderValue::from_str(name).ok());
            let name = name.unwrap_or(HeaderValue::from_static(""));
            response.headers_mut().insert(CHECKED_CLUSTER, name);
        } else if shared.is_failing.load(Relaxed) {
            let yes = HeaderValue::from_static("true");
            response.headers_mut().insert(FAIL_AT_ONCE, yes);
        }
    }
}

impl Cache {
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn get(&self) -> Option<StatusCode> {
        let answer = self.answer.load(Relaxed);
        let (status, until) = ((answer & 0xffff) as u16, answer >> 16);
        StatusCode::from_u16(status).ok().filter(|_| self.now() < until)
    }

    /// An answer out of the cache does not make itself younger.
    fn put(&self, response: &Response<ResponseBody>, time: Duration, details: &str) {
        if details != "health_check_cached" {
            let time = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
            let until = self.now().saturating_add(time).min(u64::MAX >> 16);
            self.answer.store(until << 16 | u64::from(response.status().as_u16()), Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_its_time() {
        let cache = Cache { began: Instant::now(), answer: AtomicU64::new(0) };
        assert_eq!(cache.get(), None);
        let until = |time: u64| cache.answer.store(time << 16 | 404, Relaxed);
        until(1 << 40);
        assert_eq!(cache.get(), Some(StatusCode::NOT_FOUND));
        until(0);
        assert_eq!(cache.get(), None);
    }
}
