//! Whether the application has ended for good, from how many processes it has.

use std::time::{Duration, Instant};

use super::RestartPolicy;

/// An application that nobody has seen for so long has ended before the agent began: kubelet
/// starts containers in their order, and the sidecar is the last.
const UNSEEN: Duration = Duration::from_secs(120);
/// Between the processes of one container and those of the next.
const SETTLED: Duration = Duration::from_secs(1);
/// Kubelet's waits before it starts a failed container again: 10 s, doubled each time. The
/// first restart comes sooner.
const FIRST_BACK_OFF: Duration = Duration::from_secs(10);
const MAX_BACK_OFF: Duration = Duration::from_secs(300);
/// For kubelet to notice the end, and to start the container.
const SLACK: Duration = Duration::from_secs(15);

pub(super) struct Ending {
    policy: RestartPolicy,
    /// Since when there is no process; nothing while there are some.
    gone_since: Option<Instant>,
    /// How often all of them have gone.
    ends: u32,
}

impl Ending {
    pub(super) fn new(policy: RestartPolicy, now: Instant) -> Self {
        Self { policy, gone_since: Some(now), ends: 0 }
    }

    /// Takes a look's result; whether it has ended.
    pub(super) fn look(&mut self, processes: usize, now: Instant) -> bool {
        if processes > 0 {
            self.gone_since = None;
            return false;
        }
        let since = *self.gone_since.get_or_insert_with(|| {
            self.ends += 1;
            now
        });
        now.duration_since(since) >= self.wait()
    }

    fn wait(&self) -> Duration {
        match (self.ends, self.policy) {
            (0, _) => UNSEEN,
            (_, RestartPolicy::Never) => SETTLED,
            (ends, RestartPolicy::OnFailure) => {
                let doubled = FIRST_BACK_OFF.saturating_mul(1 << (ends - 1).min(16));
                doubled.min(MAX_BACK_OFF) + SLACK
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn never_restarted_it_has_ended_when_it_is_gone() {
        let now = Instant::now();
        let mut ending = Ending::new(RestartPolicy::Never, now);
        assert!(!ending.look(0, now + s(119)), "not started yet");
        assert!(!ending.look(2, now + s(119)));
        assert!(!ending.look(0, now + s(200)), "maybe between two containers");
        assert!(ending.look(0, now + s(201)));
    }

    #[test]
    fn a_failed_one_may_come_again_ever_later() {
        let now = Instant::now();
        let mut ending = Ending::new(RestartPolicy::OnFailure, now);
        let mut at = now;
        for wait in [25, 35, 55, 95, 175, 315, 315] {
            assert!(!ending.look(1, at));
            assert!(!ending.look(0, at));
            assert!(!ending.look(0, at + s(wait - 1)), "{wait}");
            at += s(wait - 1);
        }
        assert!(ending.look(0, at + s(1)));
    }

    #[test]
    fn one_that_was_never_seen_has_ended_before() {
        let now = Instant::now();
        let mut ending = Ending::new(RestartPolicy::OnFailure, now);
        assert!(!ending.look(0, now));
        assert!(ending.look(0, now + UNSEEN));
    }
}
