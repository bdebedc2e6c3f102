//! What to do when something happens to the proxy: a state and a step, without processes.

use std::time::{Duration, Instant};

use crate::exit;

/// How a proxy is made to drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    /// SIGTERM is enough: it drains and then ends (mesh-proxy).
    OnSigterm,
    /// It is asked on its admin pages, and ended when it is empty (Envoy).
    ByAdmin,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Policy {
    pub(super) drain: Drain,
    /// From the first signal, for how long connections are taken as before.
    pub(super) minimum: Duration,
    /// From the first signal, until what is left is cut.
    pub(super) deadline: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Running {
        since: Instant,
    },
    /// It crashed and is started again when the timer fires.
    BackingOff,
    /// Told to end; connections are still taken, until the timer fires.
    Lingering {
        deadline: Instant,
    },
    /// Envoy drains; waiting for its last connection, or the timer.
    Emptying {
        deadline: Instant,
    },
    /// SIGTERM was sent; waiting for its end, or the timer.
    Stopping {
        cut: bool,
    },
    /// SIGKILL was sent.
    Killed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// The proxy has ended.
    Exited { success: bool },
    /// The time last asked for has come.
    Timer,
    /// A signal asks the agent to end.
    Signal,
    /// The proxy has no connection left.
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Start,
    /// Replaces the time asked for before.
    WakeAt(Instant),
    /// Answer that the pod is not ready any more.
    Unready,
    AskToDrain,
    WatchConnections,
    Terminate,
    Kill,
    /// End with this exit code.
    Leave(u8),
}

const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const MAX_BACK_OFF: Duration = Duration::from_secs(10);
/// A proxy that ran for so long begins anew with the first back-off.
const STABLE: Duration = Duration::from_secs(30);
/// Between SIGTERM and SIGKILL when the deadline has passed.
const LAST_MOMENT: Duration = Duration::from_secs(1);

pub(super) struct Supervisor {
    policy: Policy,
    state: State,
    crashes: u32,
}

impl Supervisor {
    /// For a proxy that has just been started.
    pub(super) fn new(policy: Policy, now: Instant) -> Self {
        Self { policy, state: State::Running { since: now }, crashes: 0 }
    }

    /// Takes one event; the actions are to be done in their order.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match (self.state, event) {
            (State::Running { since }, Event::Exited { .. }) => self.crashed(since, now),
            (State::BackingOff, Event::Timer) => {
                self.enter(State::Running { since: now }, vec![Action::Start])
            }
            (State::BackingOff, Event::Signal) => vec![Action::Leave(exit::OK)],
            (State::Running { .. }, Event::Signal) => self.linger(now),
            (State::Lingering { deadline }, Event::Timer) => self.drain(deadline),
            (State::Emptying { deadline }, Event::Empty) => self.stop(deadline, false),
            (State::Emptying { .. }, Event::Timer) => self.stop(now + LAST_MOMENT, true),
            (State::Stopping { .. }, Event::Timer) => self.kill(),
            (
                State::Lingering { .. } | State::Emptying { .. } | State::Stopping { .. },
                Event::Signal,
            ) => self.kill(),
            (State::Stopping { cut: false }, Event::Exited { success: true }) => {
                vec![Action::Leave(exit::OK)]
            }
            (State::Stopping { cut: true } | State::Killed, Event::Exited { .. }) => {
                vec![Action::Leave(exit::CUT)]
            }
            (
                State::Lingering { .. } | State::Emptying { .. } | State::Stopping { .. },
                Event::Exited { .. },
            ) => vec![Action::Leave(exit::PROXY_FAILED)],
            // A timer or a count that came late, or a third signal.
            (_, Event::Timer | Event::Empty | Event::Signal)
            | (State::BackingOff, Event::Exited { .. }) => Vec::new(),
        }
    }

    fn enter(&mut self, state: State, actions: Vec<Action>) -> Vec<Action> {
        self.state = state;
        actions
    }

    fn crashed(&mut self, since: Instant, now: Instant) -> Vec<Action> {
        if now.duration_since(since) >= STABLE {
            self.crashes = 0;
        }
        let wait = FIRST_BACK_OFF.saturating_mul(1 << self.crashes.min(16)).min(MAX_BACK_OFF);
        self.crashes = self.crashes.saturating_add(1);
        self.enter(State::BackingOff, vec![Action::WakeAt(now + wait)])
    }

    fn linger(&mut self, now: Instant) -> Vec<Action> {
        let deadline = now + self.policy.deadline;
        let mut actions = vec![Action::Unready];
        if self.policy.drain == Drain::ByAdmin {
            // Envoy takes connections while it turns clients away, so it can begin at once.
            actions.push(Action::AskToDrain);
        }
        actions.push(Action::WakeAt(now + self.policy.minimum.min(self.policy.deadline)));
        self.enter(State::Lingering { deadline }, actions)
    }

    fn drain(&mut self, deadline: Instant) -> Vec<Action> {
        match self.policy.drain {
            Drain::OnSigterm => self.stop(deadline, false),
            Drain::ByAdmin => self.enter(
                State::Emptying { deadline },
                vec![Action::WatchConnections, Action::WakeAt(deadline)],
            ),
        }
    }

    fn stop(&mut self, until: Instant, cut: bool) -> Vec<Action> {
        self.enter(State::Stopping { cut }, vec![Action::Terminate, Action::WakeAt(until)])
    }

    fn kill(&mut self) -> Vec<Action> {
        self.enter(State::Killed, vec![Action::Kill])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Event = Event::Exited { success: false };
    const END: Event = Event::Exited { success: true };

    fn supervisor(drain: Drain) -> (Supervisor, Instant) {
        let now = Instant::now();
        let (minimum, deadline) = (Duration::from_secs(5), Duration::from_secs(28));
        (Supervisor::new(Policy { drain, minimum, deadline }, now), now)
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_crashing_proxy_is_started_again_ever_later() {
        let (mut supervisor, now) = supervisor(Drain::OnSigterm);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let [Action::WakeAt(at)] = supervisor.step(CRASH, now)[..] else { panic!() };
            waits.push(at.duration_since(now).as_millis());
            assert_eq!(supervisor.step(Event::Timer, now), [Action::Start]);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000]);
        let later = now + STABLE;
        assert_eq!(
            supervisor.step(CRASH, later),
            [Action::WakeAt(later + FIRST_BACK_OFF)],
            "a stable run forgets"
        );
        assert_eq!(supervisor.step(Event::Signal, later), [Action::Leave(exit::OK)]);
    }

    #[test]
    fn our_proxy_drains_by_itself() {
        let (mut supervisor, now) = supervisor(Drain::OnSigterm);
        assert_eq!(
            supervisor.step(Event::Signal, now),
            [Action::Unready, Action::WakeAt(now + s(5))]
        );
        assert_eq!(
            supervisor.step(Event::Timer, now + s(5)),
            [Action::Terminate, Action::WakeAt(now + s(28))]
        );
        assert_eq!(supervisor.step(END, now + s(9)), [Action::Leave(exit::OK)]);
    }

    #[test]
    fn envoy_is_drained_and_watched() {
        let (mut supervisor, now) = supervisor(Drain::ByAdmin);
        assert_eq!(
            supervisor.step(Event::Signal, now),
            [Action::Unready, Action::AskToDrain, Action::WakeAt(now + s(5))]
        );
        assert_eq!(
            supervisor.step(Event::Timer, now + s(5)),
            [Action::WatchConnections, Action::WakeAt(now + s(28))]
        );
        assert_eq!(
            supervisor.step(Event::Empty, now + s(7)),
            [Action::Terminate, Action::WakeAt(now + s(28))]
        );
        assert_eq!(supervisor.step(END, now + s(8)), [Action::Leave(exit::OK)]);
    }

    #[test]
    fn connections_are_cut_at_the_deadline() {
        let (mut envoy, now) = supervisor(Drain::ByAdmin);
        envoy.step(Event::Signal, now);
        envoy.step(Event::Timer, now + s(5));
        assert_eq!(
            envoy.step(Event::Timer, now + s(28)),
            [Action::Terminate, Action::WakeAt(now + s(29))]
        );
        assert_eq!(envoy.step(Event::Timer, now + s(29)), [Action::Kill]);
        assert_eq!(envoy.step(CRASH, now + s(29)), [Action::Leave(exit::CUT)]);

        let (mut ours, now) = supervisor(Drain::OnSigterm);
        ours.step(Event::Signal, now);
        ours.step(Event::Timer, now + s(5));
        assert_eq!(ours.step(Event::Timer, now + s(28)), [Action::Kill]);
        assert_eq!(ours.step(CRASH, now + s(28)), [Action::Leave(exit::CUT)]);
    }

    #[test]
    fn a_second_signal_ends_it_at_once() {
        for drain in [Drain::OnSigterm, Drain::ByAdmin] {
            let (mut supervisor, now) = supervisor(drain);
            supervisor.step(Event::Signal, now);
            assert_eq!(supervisor.step(Event::Signal, now), [Action::Kill]);
            assert_eq!(supervisor.step(Event::Signal, now), []);
            assert_eq!(supervisor.step(CRASH, now), [Action::Leave(exit::CUT)]);
        }
    }

    #[test]
    fn a_proxy_that_dies_while_draining_is_reported() {
        let (mut supervisor, now) = supervisor(Drain::OnSigterm);
        supervisor.step(Event::Signal, now);
        assert_eq!(supervisor.step(END, now), [Action::Leave(exit::PROXY_FAILED)]);
    }
}
