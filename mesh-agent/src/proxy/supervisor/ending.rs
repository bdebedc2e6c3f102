//! The way to the end: of the agent with its proxies, or of a proxy that has to leave
//! before another can start.

use std::time::Instant;

use super::LAST_MOMENT;
use super::kinds::{Action, Drain, Epoch, Event, Exit, Outcome, Policy};
use crate::exit;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    then: Then,
    stage: Stage,
    /// The one that took connections when it began.
    serving: Option<Epoch>,
    /// One that warmed up or drained then.
    spare: Option<Epoch>,
    failed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Leave,
    StartAnew,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Connections are still taken, until the timer fires.
    Lingering { deadline: Instant },
    /// Envoy drains; waiting for its last connection, or the timer.
    Emptying { deadline: Instant },
    /// SIGTERM was sent; waiting for its end, or the timer.
    Stopping { cut: bool },
    /// SIGKILL was sent.
    Killed,
}

impl Ending {
    /// For the agent's end.
    pub(super) fn to_leave(
        policy: &Policy,
        serving: Epoch,
        spare: Option<Epoch>,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let (ending, actions) = Self::begin(Then::Leave, policy, serving, spare, now);
        (ending, [vec![Action::Report(Outcome::Ending)], actions].concat())
    }

    /// For a start without a predecessor.
    pub(super) fn to_start_anew(
        policy: &Policy,
        serving: Epoch,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        Self::begin(Then::StartAnew, policy, serving, None, now)
    }

    fn begin(
        then: Then,
        policy: &Policy,
        serving: Epoch,
        spare: Option<Epoch>,
        now: Instant,
    ) -> (Self, Vec<Action>) {
        let stage = Stage::Lingering { deadline: now + policy.deadline };
        let mut actions = vec![Action::Unready];
        if policy.drain == Drain::ByAdmin {
            // Envoy takes connections while it turns clients away, so it can begin at once.
            actions.push(Action::AskToDrain);
        }
        actions.push(Action::WakeAt(now + policy.minimum.min(policy.deadline)));
        (Self { then, stage, serving: Some(serving), spare, failed: false }, actions)
    }

    /// Whether the agent leaves in the end.
    pub(super) fn leaves(&self) -> bool {
        self.then == Then::Leave
    }

    /// The one that still takes connections.
    pub(super) fn serving(&self) -> Option<Epoch> {
        self.serving.filter(|_| matches!(self.stage, Stage::Lingering { .. }))
    }

    /// Takes one event; tells whether all have ended.
    pub(super) fn step(
        &mut self,
        policy: &Policy,
        event: Event,
        now: Instant,
    ) -> (bool, Vec<Action>) {
        match (self.stage, event) {
            (_, Event::Exited { epoch, exit }) => self.exited(epoch, exit),
            // Told to end after all: what began already goes on, to another end.
            (_, Event::Signal) if self.then == Then::StartAnew => {
                self.then = Then::Leave;
                (false, vec![Action::Report(Outcome::Ending)])
            }
            (Stage::Lingering { deadline }, Event::Timer) => match policy.drain {
                Drain::OnSigterm => self.stop(deadline, false),
                Drain::ByAdmin => {
                    self.stage = Stage::Emptying { deadline };
                    (false, vec![Action::WatchConnections, Action::WakeAt(deadline)])
                }
            },
            (Stage::Emptying { deadline }, Event::Empty) => self.stop(deadline, false),
            (Stage::Emptying { .. }, Event::Timer) => self.stop(now + LAST_MOMENT, true),
            (Stage::Stopping { .. }, Event::Timer)
            | (
                Stage::Lingering { .. } | Stage::Emptying { .. } | Stage::Stopping { .. },
                Event::Signal,
            ) => {
                self.stage = Stage::Killed;
                (false, self.each(Action::Kill))
            }
            (_, Event::Restart) if self.leaves() => (false, vec![Action::Report(Outcome::Ending)]),
            // A timer or a count that came late, a third signal, an answer nobody waits for.
            _ => (false, Vec::new()),
        }
    }

    fn stop(&mut self, until: Instant, cut: bool) -> (bool, Vec<Action>) {
        self.stage = Stage::Stopping { cut };
        (false, [self.each(Action::Terminate), vec![Action::WakeAt(until)]].concat())
    }

    fn each(&self, action: impl Fn(Epoch) -> Action) -> Vec<Action> {
        self.serving.iter().chain(&self.spare).map(|epoch| action(*epoch)).collect()
    }

    fn exited(&mut self, epoch: Epoch, exit: Exit) -> (bool, Vec<Action>) {
        if self.serving == Some(epoch) {
            self.serving = None;
            let asked = matches!(self.stage, Stage::Stopping { .. } | Stage::Killed);
            self.failed |= exit != Exit::Good || !asked;
        } else {
            // It served nobody yet, or has been leaving anyhow.
            self.spare = None;
        }
        if self.serving.is_some() || self.spare.is_some() {
            return (false, Vec::new());
        }
        let code = match self.stage {
            Stage::Stopping { cut: true } | Stage::Killed => exit::CUT,
            _ if self.failed => exit::PROXY_FAILED,
            _ => exit::OK,
        };
        (true, vec![Action::Leave(code)])
    }
}
