//! Delays, aborts and slows down requests, to see what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Response, StatusCode};

use super::throttle::Throttled;
use super::{Filter, Outgoing, Request, RouteSettings, Said, Step};
use crate::codec::Body;
use crate::config::{AbortStatus, Fault, FaultKind, Fraction, Name};
use crate::formatter::Flags;
use crate::random;
use crate::router::{ResponseBody, Stream, local_reply, timed_out, within_limits};
use crate::stats::{Counter, Gauge, Held, Registry};

/// Envoy's `envoy.filters.http.fault`.
pub(super) struct Faults {
    rules: Rules,
    stats: Stats,
}

/// Which faults are for which requests.
pub(crate) struct Rules(Arc<Fault>);

/// `http.<stat_prefix>.fault.*`
struct Stats {
    delays: Counter,
    aborts: Counter,
    slowed: Counter,
    overflow: Counter,
    active: Gauge,
}

impl Rules {
    pub(super) fn new(config: &Arc<Fault>) -> Self {
        Self(Arc::clone(config))
    }

    /// Whether requests like this one are meant.
    fn concern(&self, stream: &Stream) -> bool {
        let Fault { upstream_cluster, downstream_nodes, headers, .. } = &*self.0;
        let node = || header(&stream.head, "x-envoy-downstream-service-node");
        let goes_there = |name: &Name| stream.route_cluster().is_some_and(|to| *to == **name);
        upstream_cluster.as_ref().is_none_or(goes_there)
            && (downstream_nodes.is_empty()
                || node().is_some_and(|node| downstream_nodes.iter().any(|one| one == node)))
            && headers.iter().all(|matcher| matcher.matches(&stream.head))
    }

    fn delay(&self, head: &Parts) -> Option<Duration> {
        let delay = self.0.delay.as_ref()?;
        let asked = || {
            let milliseconds = header(head, "x-envoy-fault-delay-request")?.parse().ok()?;
            Some(Duration::from_millis(milliseconds)).filter(|delay| !delay.is_zero())
        };
        fault(delay, head, "x-envoy-fault-delay-request-percentage", asked)
    }

    fn abort(&self, head: &Parts) -> Option<(AbortStatus, Bytes)> {
        let abort = self.0.abort.as_ref()?;
        let asked = || {
            let number = |name| header(head, name)?.parse::<u16>().ok();
            let status = number("x-envoy-fault-abort-request").filter(|n| (200..600).contains(n));
            let status = status.and_then(|status| StatusCode::from_u16(status).ok());
            let grpc = || number("x-envoy-fault-abort-grpc-request").map(u32::from);
            status.map(AbortStatus::Http).or_else(|| grpc().map(AbortStatus::Grpc))
        };
        let status = fault(&abort.kind, head, "x-envoy-fault-abort-request-percentage", asked)?;
        Some((status, abort.body.clone()))
    }

    /// KiB a second.
    fn rate(&self, head: &Parts) -> Option<u64> {
        let rate = self.0.rate.as_ref()?;
        let asked = || {
            let rate = header(head, "x-envoy-fault-throughput-response")?.parse().ok();
            rate.filter(|rate| *rate > 0)
        };
        fault(rate, head, "x-envoy-fault-throughput-response-percentage", asked)
    }
}

/// What is to happen, if the request is one of those that it happens to. `asked` is what the
/// request's headers ask for, where they may; they may lower the share, too, by the header
/// `percentage`.
fn fault<T: Copy>(
    kind: &FaultKind<T>,
    head: &Parts,
    percentage: &str,
    asked: impl Fn() -> Option<T>,
) -> Option<T> {
    let by_header = kind.fixed.is_none();
    let numerator = header(head, percentage).filter(|_| by_header);
    let numerator = numerator.and_then(|text| text.parse::<u32>().ok());
    let share = Fraction {
        numerator: numerator.unwrap_or(u32::MAX).min(kind.share.numerator),
        ..kind.share
    };
    share.takes(random::next()).then(|| kind.fixed.or_else(asked)).flatten()
}

fn header<'a>(head: &'a Parts, name: &str) -> Option<&'a str> {
    head.headers.get(name)?.to_str().ok()
}

impl Faults {
    pub(super) fn new(config: &Arc<Fault>, prefix: &str, registry: &Registry) -> Self {
        let full = |name: &str| format!("http.{prefix}.fault.{name}");
        let counter = |name| registry.counter(&full(name));
        let stats = Stats {
            delays: counter("delays_injected"),
            aborts: counter("aborts_injected"),
            slowed: counter("response_rl_injected"),
            overflow: counter("faults_overflow"),
            active: registry.gauge(&full("active_faults")),
        };
        Self { rules: Rules::new(config), stats }
    }

    fn rules<'a>(&'a self, said: Said<'a>) -> &'a Rules {
        let of_route = said.most_specific(|settings| match settings {
            RouteSettings::Fault(rules) => Some(&**rules),
            _ => None,
        });
        of_route.unwrap_or(&self.rules)
    }

    /// A fault that counts as active until the request is over; none when there are as many
    /// as there may be.
    fn begin(&self, rules: &Rules) -> Option<Held> {
        if rules.0.max_active.is_some_and(|max| self.stats.active.value() >= max) {
            self.stats.overflow.inc();
            return None;
        }
        Some(self.stats.active.hold())
    }

    fn abort(&self, stream: &mut Stream, rules: &Rules) -> Option<Response<ResponseBody>> {
        let (status, text) = rules.abort(&stream.head)?;
        if stream.filters.fault.is_none() {
            stream.filters.fault = Some(self.begin(rules)?);
        }
        self.stats.aborts.inc();
        stream.fail(Flags::FAULT_INJECTED, "fault_filter_abort");
        Some(match status {
            AbortStatus::Http(status) => local_reply(stream, status, text),
            AbortStatus::Grpc(code) => {
                let mut response = local_reply(stream, StatusCode::OK, text);
                if stream.is_grpc() {
                    response.headers_mut().insert("grpc-status", HeaderValue::from(code));
                }
                response
            }
        })
    }

    async fn delay(
        &self,
        stream: &mut Stream,
        rules: &Rules,
        delay: Duration,
    ) -> Option<Response<ResponseBody>> {
        match within_limits(stream, tokio::time::sleep(delay)).await {
            Ok(()) => self.abort(stream, rules),
            Err(why) => Some(timed_out(stream, why, false)),
        }
    }
}

impl Filter for Faults {
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let Request { stream, said, .. } = request;
        let rules = self.rules(said);
        if !rules.concern(stream) {
            return Step::Next;
        }
        if let Some(rate) = rules.rate(&stream.head)
            && let Some(held) = self.begin(rules)
        {
            self.stats.slowed.inc();
            stream.filters.fault = Some(held);
            stream.filters.response_rate = Some(rate);
        }
        if let Some(delay) = rules.delay(&stream.head) {
            if stream.filters.fault.is_none() {
                stream.filters.fault = self.begin(rules);
            }
            if stream.filters.fault.is_some() {
                self.stats.delays.inc();
                stream.flags.insert(Flags::DELAY_INJECTED);
                return Step::Wait(Box::pin(self.delay(stream, rules, delay)));
            }
        }
        match self.abort(stream, rules) {
            Some(answer) => Step::Answer(answer),
            None => Step::Next,
        }
    }

    fn on_response(&self, outgoing: &mut Outgoing<'_>) {
        if let Some(rate) = outgoing.stream.filters.response_rate.take() {
            let slow = |body| Body::wrapped(Throttled::new(body, rate));
            outgoing.response.body_mut().wrap(slow);
        }
    }
}
