//! What checks mean for an endpoint: pure, but for the endpoint's flags.

use std::time::Duration;

use crate::config::{HealthCheck, Intervals};
use crate::endpoint::{Flag, Standing};
use crate::random;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Success {
        /// It says of itself that it is.
        degraded: bool,
    },
    /// It says that it is not well.
    Unhealthy {
        /// This may pass: it counts like no answer.
        retriable: bool,
        /// It is not to be counted among the endpoints.
        excluded: bool,
    },
    /// No answer, or none that could be understood.
    Network,
    Timeout,
}

/// Whether its health has changed by a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    Unchanged,
    /// It will have, after more checks like this.
    Pending,
    Changed,
}

/// The checks of an endpoint so far.
#[derive(Debug, Default)]
pub(super) struct State {
    successes: u32,
    failures: u32,
    was_checked: bool,
}

impl State {
    /// Takes the outcome of a check.
    pub(super) fn take(
        &mut self,
        standing: &Standing,
        settings: &HealthCheck,
        outcome: Outcome,
    ) -> Transition {
        let mut transition = match outcome {
            Outcome::Success { .. } => self.succeeded(standing, settings),
            _ => self.failed(standing, settings, outcome),
        };
        if standing.clear(Flag::PendingActiveCheck) {
            transition = Transition::Changed;
        }
        if let Outcome::Success { degraded } = outcome {
            let changed = match degraded {
                true => standing.set(Flag::DegradedActiveCheck),
                false => standing.clear(Flag::DegradedActiveCheck),
            };
            if changed && transition == Transition::Unchanged {
                transition = Transition::Changed;
            }
        }
        self.was_checked = true;
        transition
    }

    fn succeeded(&mut self, standing: &Standing, settings: &HealthCheck) -> Transition {
        self.failures = 0;
        if !standing.has(Flag::FailedActiveCheck) {
            return Transition::Unchanged;
        }
        self.successes += 1;
        // The first check of all counts at once, so that a start takes no longer.
        if self.was_checked && self.successes < settings.healthy_threshold {
            return Transition::Pending;
        }
        self.successes = 0;
        standing.begin();
        for flag in [Flag::FailedActiveCheck, Flag::ActiveCheckTimeout, Flag::Excluded] {
            standing.clear(flag);
        }
        Transition::Changed
    }

    fn failed(
        &mut self,
        standing: &Standing,
        settings: &HealthCheck,
        outcome: Outcome,
    ) -> Transition {
        self.successes = 0;
        let mut transition = Transition::Unchanged;
        if !standing.has(Flag::FailedActiveCheck) {
            let at_once = matches!(outcome, Outcome::Unhealthy { retriable: false, .. });
            if !at_once {
                self.failures += 1;
            }
            transition = Transition::Pending;
            if at_once || self.failures >= settings.unhealthy_threshold {
                standing.set(Flag::FailedActiveCheck);
                transition = Transition::Changed;
            }
        }
        if matches!(outcome, Outcome::Unhealthy { excluded: true, .. }) {
            standing.set(Flag::Excluded);
        }
        if outcome == Outcome::Timeout && standing.has(Flag::FailedActiveCheck) {
            standing.set(Flag::ActiveCheckTimeout);
        } else {
            standing.clear(Flag::ActiveCheckTimeout);
        }
        transition
    }
}

impl Intervals {
    /// How long it is to the next check after this one. `has_traffic` says that there ever
    /// was a connection for a request.
    pub(super) fn next(
        &self,
        outcome: Outcome,
        transition: Transition,
        has_traffic: bool,
    ) -> Duration {
        let is_pending = transition == Transition::Pending;
        let is_healthy = matches!(outcome, Outcome::Success { .. });
        let base = match (has_traffic, is_healthy, is_pending) {
            (true, true, false) => self.healthy,
            (true, true, true) => self.healthy_edge,
            (true, false, false) => self.unhealthy,
            (true, false, true) => self.unhealthy_edge,
            (false, true, false) => self.no_traffic_healthy,
            (false, ..) => self.no_traffic,
        };
        let percent = base.saturating_mul(self.jitter_percent) / 100;
        let longer = base + by_chance(percent) + by_chance(self.jitter);
        longer.max(Duration::from_millis(1))
    }
}

/// A time up to this one.
pub(super) fn by_chance(most: Duration) -> Duration {
    Duration::from_micros(random::below(most.as_micros() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Probe, TcpProbe};

    const OK: Outcome = Outcome::Success { degraded: false };
    const ILL: Outcome = Outcome::Unhealthy { retriable: false, excluded: false };

    fn settings() -> HealthCheck {
        let seconds = Duration::from_secs;
        HealthCheck {
            timeout: seconds(1),
            intervals: Intervals {
                healthy: seconds(1),
                healthy_edge: seconds(2),
                unhealthy: seconds(3),
                unhealthy_edge: seconds(4),
                no_traffic: seconds(60),
                no_traffic_healthy: seconds(70),
                jitter: Duration::ZERO,
                jitter_percent: 0,
            },
            initial_jitter: Duration::ZERO,
            unhealthy_threshold: 2,
            healthy_threshold: 3,
            port: None,
            reuse_connection: true,
            probe: Probe::Tcp(TcpProbe::default()),
        }
    }

    /// A new endpoint counts as failed until it was checked.
    fn new() -> Standing {
        let standing = Standing::default();
        standing.set(Flag::FailedActiveCheck);
        standing.set(Flag::PendingActiveCheck);
        standing
    }

    #[test]
    fn thresholds_hold_but_for_the_first_check_and_for_clear_words() {
        let (standing, settings) = (new(), settings());
        let mut state = State::default();
        let mut take = |outcome| state.take(&standing, &settings, outcome);
        assert_eq!(take(OK), Transition::Changed);
        assert_eq!(take(Outcome::Network), Transition::Pending);
        assert_eq!(take(OK), Transition::Unchanged);
        assert_eq!(take(Outcome::Timeout), Transition::Pending);
        assert_eq!(take(Outcome::Timeout), Transition::Changed);
        assert!(standing.has(Flag::FailedActiveCheck) && standing.has(Flag::ActiveCheckTimeout));
        assert_eq!(take(Outcome::Network), Transition::Unchanged);
        assert!(!standing.has(Flag::ActiveCheckTimeout));
        assert_eq!([take(OK), take(OK)], [Transition::Pending; 2]);
        assert_eq!(take(OK), Transition::Changed);
        assert!(!standing.has(Flag::FailedActiveCheck));
        assert_eq!(take(ILL), Transition::Changed);
        assert!(standing.has(Flag::FailedActiveCheck));
    }

    #[test]
    fn a_first_failure_leaves_it_failed_but_not_pending() {
        let (standing, settings) = (new(), settings());
        let mut state = State::default();
        assert_eq!(state.take(&standing, &settings, Outcome::Network), Transition::Changed);
        assert!(!standing.has(Flag::PendingActiveCheck));
        // It was checked: now the threshold holds.
        assert_eq!(state.take(&standing, &settings, OK), Transition::Pending);
    }

    #[test]
    fn degraded_is_what_the_last_success_says() {
        let (standing, settings) = (new(), settings());
        let mut state = State::default();
        let degraded = Outcome::Success { degraded: true };
        assert_eq!(state.take(&standing, &settings, degraded), Transition::Changed);
        assert!(standing.has(Flag::DegradedActiveCheck));
        assert_eq!(state.take(&standing, &settings, degraded), Transition::Unchanged);
        assert_eq!(state.take(&standing, &settings, OK), Transition::Changed);
    }

    #[test]
    fn intervals_follow_health_and_traffic() {
        let intervals = settings().intervals;
        let next =
            |outcome, transition, traffic| intervals.next(outcome, transition, traffic).as_secs();
        assert_eq!(next(OK, Transition::Unchanged, true), 1);
        assert_eq!(next(OK, Transition::Pending, true), 2);
        assert_eq!(next(ILL, Transition::Changed, true), 3);
        assert_eq!(next(ILL, Transition::Pending, true), 4);
        assert_eq!(next(ILL, Transition::Unchanged, false), 60);
        assert_eq!(next(OK, Transition::Pending, false), 60);
        assert_eq!(next(OK, Transition::Changed, false), 70);
    }
}
