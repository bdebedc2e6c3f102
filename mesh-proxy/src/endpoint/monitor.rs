//! What outlier detection counts.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::config::OutlierDetection;

/// Of one endpoint, by all workers together.
#[derive(Debug, Default)]
pub(crate) struct Monitor {
    consecutive_5xx: AtomicU32,
    consecutive_gateway_failure: AtomicU32,
    consecutive_local_failure: AtomicU32,
    /// Of what the endpoint answered.
    pub(crate) external: Rate,
    /// Of whether it could be reached.
    pub(crate) local: Rate,
    /// Nobody on a request's path asks for it.
    ejection: Mutex<Ejection>,
}

/// How much went well since it was looked at last.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    total: AtomicU64,
    success: AtomicU64,
    /// One more than the bits of the rate of the last interval; 0 when it had too few
    /// requests.
    last: AtomicU64,
}

/// When an endpoint was ejected, and for how long.
#[derive(Debug, Default)]
pub(crate) struct Ejection {
    pub(crate) since: Option<Instant>,
    /// When the last one ended.
    pub(crate) ended: Option<Instant>,
    /// How many times the base time it lasts.
    pub(crate) factor: u32,
    pub(crate) jitter: Duration,
}

/// How a request or a connection to an endpoint ended, or where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It has a connection; how the request ends is still to come.
    Connected,
    /// It has a connection, and nothing more is looked at.
    ConnectedOnly,
    /// A response with this status.
    Status(u16),
    /// No connection, or one that broke.
    Failed,
    /// No answer in time.
    TimedOut,
}

/// What makes an endpoint an outlier, in the order of Envoy's enforcing settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    Consecutive5xx,
    ConsecutiveGatewayFailure,
    ConsecutiveLocalFailure,
    SuccessRate,
    LocalSuccessRate,
    FailurePercentage,
    LocalFailurePercentage,
}

impl Monitor {
    /// Counts it, and tells of what has happened too often in a row.
    pub(crate) fn count(
        &self,
        verdict: Verdict,
        settings: &OutlierDetection,
        too_often: &mut dyn FnMut(Reason),
    ) {
        match (verdict, settings.split_local_errors) {
            (Verdict::Status(status), _) => self.count_status(status, settings, too_often),
            (Verdict::Connected, false) => {}
            (Verdict::ConnectedOnly, false) => self.count_status(200, settings, too_often),
            (Verdict::Failed, false) => self.count_status(503, settings, too_often),
            (Verdict::TimedOut, false) => self.count_status(504, settings, too_often),
            (Verdict::Connected | Verdict::ConnectedOnly, true) => {
                self.local.count(true);
                self.consecutive_local_failure.store(0, Relaxed);
            }
            (Verdict::Failed | Verdict::TimedOut, true) => {
                self.local.count(false);
                if is_up_to(&self.consecutive_local_failure, settings.consecutive_local_failure) {
                    too_often(Reason::ConsecutiveLocalFailure);
                }
            }
        }
    }

    fn count_status(
        &self,
        status: u16,
        settings: &OutlierDetection,
        too_often: &mut dyn FnMut(Reason),
    ) {
        self.external.count(status < 500);
        if status < 500 {
            self.consecutive_5xx.store(0, Relaxed);
            self.consecutive_gateway_failure.store(0, Relaxed);
            return;
        }
        if !(502..=504).contains(&status) {
            self.consecutive_gateway_failure.store(0, Relaxed);
        } else if is_up_to(&self.consecutive_gateway_failure, settings.consecutive_gateway_failure)
        {
            too_often(Reason::ConsecutiveGatewayFailure);
        }
        if is_up_to(&self.consecutive_5xx, settings.consecutive_5xx) {
            too_often(Reason::Consecutive5xx);
        }
    }

    /// Counts anew what happened too often in a row.
    pub(crate) fn reset(&self, reason: Reason) {
        match reason {
            Reason::Consecutive5xx => self.consecutive_5xx.store(0, Relaxed),
            Reason::ConsecutiveGatewayFailure => {
                self.consecutive_gateway_failure.store(0, Relaxed);
            }
            Reason::ConsecutiveLocalFailure => self.consecutive_local_failure.store(0, Relaxed),
            _ => {}
        }
    }

    pub(crate) fn ejection(&self) -> MutexGuard<'_, Ejection> {
        self.ejection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one more makes it this many: told once, by whoever counts that one.
fn is_up_to(count: &AtomicU32, limit: u32) -> bool {
    count.fetch_add(1, Relaxed).wrapping_add(1) == limit
}

impl Rate {
    fn count(&self, success: bool) {
        self.total.fetch_add(1, Relaxed);
        if success {
            self.success.fetch_add(1, Relaxed);
        }
    }

    /// The percentage that went well since the last time, and of how many.
    pub(crate) fn take(&self) -> Option<(f64, u64)> {
        let success = self.success.swap(0, Relaxed);
        let total = self.total.swap(0, Relaxed);
        (total > 0).then(|| (100.0 * success as f64 / total as f64, total))
    }

    /// Shows the rate of the last interval, if that counts.
    pub(crate) fn show(&self, rate: Option<f64>) {
        self.last.store(rate.map_or(0, |rate| rate.to_bits().wrapping_add(1)), Relaxed);
    }

    /// The rate of the last interval in percent, -1 when it does not count (Envoy's
    /// `success_rate`).
    pub(crate) fn shown(&self) -> f64 {
        match self.last.load(Relaxed) {
            0 => -1.0,
            bits => f64::from_bits(bits - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(settings: &OutlierDetection, verdicts: &[Verdict]) -> Vec<Reason> {
        let monitor = Monitor::default();
        let mut found = Vec::new();
        for verdict in verdicts {
            monitor.count(*verdict, settings, &mut |reason| found.push(reason));
        }
        found
    }

    #[test]
    fn only_what_comes_in_a_row_is_too_often() {
        let settings = OutlierDetection {
            consecutive_5xx: 3,
            consecutive_gateway_failure: 2,
            ..OutlierDetection::default()
        };
        let status = Verdict::Status;
        let row = [500, 500, 200, 500, 500].map(status);
        assert_eq!(reasons(&settings, &row), []);
        assert_eq!(reasons(&settings, &[500, 501, 500, 500].map(status)), [Reason::Consecutive5xx]);
        assert_eq!(
            reasons(&settings, &[status(502), Verdict::TimedOut, Verdict::Failed]),
            [Reason::ConsecutiveGatewayFailure, Reason::Consecutive5xx]
        );
        assert_eq!(reasons(&settings, &[503, 500, 503].map(status)), [Reason::Consecutive5xx]);
    }

    #[test]
    fn local_errors_can_be_counted_by_themselves() {
        let settings = OutlierDetection {
            consecutive_local_failure: 2,
            consecutive_5xx: 1,
            split_local_errors: true,
            ..OutlierDetection::default()
        };
        let both = [Verdict::Failed, Verdict::TimedOut];
        assert_eq!(reasons(&settings, &both), [Reason::ConsecutiveLocalFailure]);
        let between = [Verdict::Failed, Verdict::Connected, Verdict::Failed];
        assert_eq!(reasons(&settings, &between), []);
    }
}
