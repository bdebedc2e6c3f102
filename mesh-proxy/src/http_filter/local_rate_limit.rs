//! Limits how many requests come in a time.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

use super::{Filter, Outgoing, Request, RouteSettings, Said, Step};
use crate::config::{self, Fraction, LocalRateLimit};
use crate::formatter::Flags;
use crate::random;
use crate::router::{change_request, change_response, local_reply};
use crate::stats::{Counter, Registry};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// gRPC's RESOURCE_EXHAUSTED.
const RESOURCE_EXHAUSTED: u16 = 8;

/// Envoy's `envoy.filters.http.local_ratelimit`.
pub(super) struct Limiting(Limit);

/// A limit, for the process as a whole.
pub(crate) struct Limit {
    config: Arc<LocalRateLimit>,
    bucket: Option<Bucket>,
    /// Made by the first request.
    stats: OnceLock<Stats>,
}

/// `<stat_prefix>.http_local_rate_limit.*`
struct Stats {
    enabled: Counter,
    enforced: Counter,
    limited: Counter,
    ok: Counter,
}

/// Tokens that come at a constant rate, as one number: the time at which the bucket would have
/// been empty, had it been filled without a break since.
struct Bucket {
    max_tokens: u32,
    /// Nanoseconds.
    per_token: u64,
    empty_at: AtomicU64,
}

impl Limiting {
    pub(super) fn new(config: &Arc<LocalRateLimit>) -> Self {
        Self(Limit::new(config))
    }

    fn limit<'a>(&'a self, said: Said<'a>) -> &'a Limit {
        let of_route = said.most_specific(|settings| match settings {
            RouteSettings::LocalRateLimit(limit) => Some(&**limit),
            _ => None,
        });
        of_route.unwrap_or(&self.0)
    }
}

impl Limit {
    pub(super) fn new(config: &Arc<LocalRateLimit>) -> Self {
        let bucket = config.bucket.as_ref().map(Bucket::new);
        Self { config: Arc::clone(config), bucket, stats: OnceLock::new() }
    }

    fn stats(&self, registry: &Registry) -> &Stats {
        self.stats.get_or_init(|| {
            let prefix = &self.config.stat_prefix;
            let counter =
                |name| registry.counter(&format!("{prefix}.http_local_rate_limit.{name}"));
            Stats {
                enabled: counter("enabled"),
                enforced: counter("enforced"),
                limited: counter("rate_limited"),
                ok: counter("ok"),
            }
        })
    }
}

fn takes(share: Option<Fraction>) -> bool {
    share.is_some_and(|share| share.takes(random::next()))
}

impl Filter for Limiting {
    fn on_request<'a>(&'a self, request: Request<'a>) -> Step<'a> {
        let Request { stream, said, .. } = request;
        let limit = self.limit(said);
        let config = &*limit.config;
        if !takes(config.enabled) {
            return Step::Next;
        }
        let stats = limit.stats(&stream.downstream.worker.shared.registry);
        stats.enabled.inc();
        if limit.bucket.as_ref().is_none_or(|bucket| bucket.take(now())) {
            stats.ok.inc();
            return Step::Next;
        }
        stats.limited.inc();
        if !takes(config.enforced) {
            change_request(stream, std::slice::from_ref(&config.request_headers));
            return Step::Next;
        }
        stats.enforced.inc();
        stream.fail(Flags::RATE_LIMITED, "local_rate_limited");
        let mut response = local_reply(stream, config.status, "local_rate_limited");
        if config.resource_exhausted && stream.is_grpc() {
            let status = HeaderValue::from(RESOURCE_EXHAUSTED);
            response.headers_mut().insert("grpc-status", status);
        }
        change_response(stream, std::slice::from_ref(&config.response_headers), &mut response);
        if config.retry_after
            && config.status == StatusCode::TOO_MANY_REQUESTS
            && let Some(bucket) = &limit.bucket
        {
            let wait = HeaderValue::from(bucket.seconds_to_next(now()).max(1));
            response.headers_mut().entry(header::RETRY_AFTER).or_insert(wait);
        }
        Step::Answer(response)
    }

    fn on_response(&self, outgoing: &mut Outgoing<'_>) {
        let limit = self.limit(outgoing.said);
        if limit.config.x_ratelimit_headers
            && let Some(bucket) = &limit.bucket
        {
            bucket.tell(outgoing.response.headers_mut());
        }
    }
}

/// Nanoseconds since the first use.
fn now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);
    // A bucket is full at the beginning: that lies so far back.
    const PAST: u64 = u64::MAX / 2;
    PAST.saturating_add(nanoseconds(BEGAN.elapsed()))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Bucket {
    fn new(config: &config::TokenBucket) -> Self {
        let per_token = nanoseconds(config.fill_interval) / u64::from(config.tokens_per_fill);
        Self {
            max_tokens: config.max_tokens,
            per_token: per_token.max(1),
            empty_at: AtomicU64::new(0),
        }
    }

    /// A full bucket would have been empty then.
    fn fullest(&self, now: u64) -> u64 {
        now.saturating_sub(self.per_token.saturating_mul(self.max_tokens.into()))
    }

    /// Takes a token, if there is one.
    fn take(&self, now: u64) -> bool {
        let taken = self.empty_at.fetch_update(Relaxed, Relaxed, |empty_at| {
            let later = empty_at.max(self.fullest(now)).saturating_add(self.per_token);
            (later <= now).then_some(later)
        });
        taken.is_ok()
    }

    fn remaining(&self, now: u64) -> u64 {
        let empty_at = self.empty_at.load(Relaxed).max(self.fullest(now));
        now.saturating_sub(empty_at) / self.per_token
    }

    /// Whole seconds until there is another token.
    fn seconds_to_next(&self, now: u64) -> u64 {
        let next = self.empty_at.load(Relaxed).saturating_add(self.per_token);
        next.saturating_sub(now).div_ceil(1_000_000_000)
    }

    /// "RateLimit Header Fields for HTTP", third draft.
    fn tell(&self, headers: &mut HeaderMap) {
        let now = now();
        headers.insert(LIMIT, HeaderValue::from(self.max_tokens));
        headers.insert(REMAINING, HeaderValue::from(self.remaining(now)));
        headers.insert(RESET, HeaderValue::from(self.seconds_to_next(now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn bucket(max_tokens: u32, tokens_per_fill: u32) -> Bucket {
        let fill_interval = Duration::from_secs(1);
        Bucket::new(&config::TokenBucket { max_tokens, tokens_per_fill, fill_interval })
    }

    #[test]
    fn a_bucket_begins_full_and_fills_at_its_rate() {
        let bucket = bucket(3, 2);
        let start = 100 * SECOND;
        assert_eq!([(); 4].map(|()| bucket.take(start)), [true, true, true, false]);
        assert_eq!((bucket.remaining(start), bucket.seconds_to_next(start)), (0, 1));
        assert!(!bucket.take(start + SECOND / 2 - 1));
        assert!(bucket.take(start + SECOND / 2));
        assert!(!bucket.take(start + SECOND / 2));
        assert_eq!(bucket.remaining(start + 60 * SECOND), 3);
    }

    #[test]
    fn threads_share_a_bucket() {
        let bucket = bucket(1000, 1);
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mine = (0..1000).filter(|_| bucket.take(10_000 * SECOND)).count();
                    taken.fetch_add(mine as u64, Relaxed);
                });
            }
        });
        assert_eq!(taken.into_inner(), 1000);
    }
}
