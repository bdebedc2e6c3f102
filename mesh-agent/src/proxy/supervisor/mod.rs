//! What to do when something happens to the proxy: a state and a step, without processes.
//!
//! At most two generations of it live: the one that serves, and beside it for a while the
//! next one, which warms up, or the one before, which drains.

mod ending;
mod kinds;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use crate::exit;
use ending::Ending;
pub(super) use kinds::{Action, Drain, Epoch, Event, Exit, Outcome, Policy, Trust};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// One proxy, ready or not.
    Running { epoch: Epoch, since: Instant },
    /// The only one crashed; it is started again when the timer fires.
    BackingOff,
    /// A restart was asked for, and what the next generation is to run is being checked.
    Preparing { epoch: Epoch, since: Instant },
    /// The next generation starts; the old one works on.
    Warming(Warming),
    /// The new one serves; the old one drains, until it is told to end and then killed.
    Replacing { old: Epoch, new: Epoch, since: Instant, pressed: Pressed },
    /// The new one crashed while the old one drained, and the old one, an Envoy, has closed
    /// its listeners: the new one is started again when the timer fires.
    Retrying { old: Epoch, since: Instant },
    /// All are to end.
    Ending(Ending),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Warming {
    old: Epoch,
    /// When the old one began to run.
    since: Instant,
    /// It took too long and was killed.
    killed: bool,
    /// Whether the old one takes connections.
    old_accepts: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pressed {
    No,
    Terminated,
    Killed,
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
    /// Another restart was asked for while one was on its way.
    queued: bool,
    /// What whoever asked for a restart is to be told when the proxy is ready.
    owed: Option<Outcome>,
}

impl Supervisor {
    /// For a proxy of the given generation that runs.
    pub(super) fn new(policy: Policy, epoch: Epoch, now: Instant) -> Self {
        let state = State::Running { epoch, since: now };
        Self { policy, state, crashes: 0, queued: false, owed: None }
    }

    /// For two that were found: `old`, and the generation after it, of which nobody knows
    /// yet whether it is ready.
    pub(super) fn found_two(policy: Policy, old: Epoch, now: Instant) -> (Self, Vec<Action>) {
        let mut supervisor = Self::new(policy, old, now);
        let warming = Warming { old, since: now, killed: false, old_accepts: true };
        supervisor.state = State::Warming(warming);
        (supervisor, vec![Action::Trust(Trust::Held), Action::WakeAt(now + policy.warm)])
    }

    /// How the next generation drains.
    pub(super) fn set_drain(&mut self, drain: Drain) {
        self.policy.drain = drain;
    }

    /// The generation that takes connections, if one does.
    pub(super) fn serving(&self) -> Option<Epoch> {
        match self.state {
            State::Running { epoch, .. } | State::Preparing { epoch, .. } => Some(epoch),
            State::Warming(Warming { old, old_accepts, .. }) => old_accepts.then_some(old),
            State::Replacing { new, .. } => Some(new),
            State::Ending(ending) => ending.serving(),
            State::BackingOff | State::Retrying { .. } => None,
        }
    }

    /// What it is doing, in a word.
    pub(super) fn state(&self) -> &'static str {
        match self.state {
            State::Running { .. } => "running",
            State::BackingOff | State::Retrying { .. } => "backing off",
            State::Preparing { .. } => "preparing",
            State::Warming(_) => "warming",
            State::Replacing { .. } => "replacing",
            State::Ending(ending) if ending.leaves() => "ending",
            State::Ending(_) => "making way",
        }
    }

    /// What a generation that lives is doing, in a word.
    pub(super) fn state_of(&self, epoch: Epoch) -> &'static str {
        match self.state {
            _ if self.serving() == Some(epoch) => "serving",
            State::Warming(Warming { old, .. }) if epoch > old => "warming",
            _ => "draining",
        }
    }

    /// Takes one event; the actions are to be done in their order.
    pub(super) fn step(&mut self, event: Event, now: Instant) -> Vec<Action> {
        match (self.state, event) {
            (State::Ending(ending), event) => self.ending(ending, event, now),
            (_, Event::Signal) => self.told_to_end(now),
            (
                State::Running { since, .. } | State::Preparing { since, .. },
                Event::Exited { .. },
            ) => self.crashed(since, now),
            (State::Running { .. } | State::Preparing { .. }, Event::Ready { .. }) => self.pay(),
            (State::Running { epoch, since }, Event::Restart) => self.prepare(epoch, since),
            (State::BackingOff, Event::Restart) => vec![Action::Prepare],
            (_, Event::Restart) => {
                self.queued = true;
                Vec::new()
            }
            (State::BackingOff, Event::Timer) => self.start_anew(now),
            (State::BackingOff, Event::Prepared { .. }) => {
                self.owed = Some(Outcome::StartedAnew);
                self.start_anew(now)
            }
            (State::BackingOff, Event::Refused) => vec![Action::Report(Outcome::Refused)],
            (State::Preparing { epoch, since }, Event::Refused) => {
                self.run_on(epoch, since, vec![Action::Report(Outcome::Refused)])
            }
            (State::Preparing { epoch, since }, Event::Prepared { hand_over: true }) => {
                self.warm(Warming { old: epoch, since, killed: false, old_accepts: true }, now)
            }
            (State::Preparing { epoch, .. }, Event::Prepared { hand_over: false }) => {
                self.make_way(epoch, now)
            }
            (State::Warming(warming), event) => self.warming(warming, event, now),
            (State::Replacing { old, new, since, pressed }, event) => match event {
                Event::Exited { epoch, .. } if epoch == old => self.run_on(new, since, Vec::new()),
                Event::Exited { .. } => self.lost_new(old, since, now),
                Event::Timer => self.press(old, new, since, pressed, now),
                _ => Vec::new(),
            },
            (State::Retrying { old, since }, Event::Timer) => {
                self.warm(Warming { old, since, killed: false, old_accepts: false }, now)
            }
            // The timer that is set starts a fresh one.
            (State::Retrying { .. }, Event::Exited { .. }) => {
                self.enter(State::BackingOff, Vec::new())
            }
            // A timer, a count or an answer that came late.
            (
                State::Running { .. }
                | State::Preparing { .. }
                | State::BackingOff
                | State::Retrying { .. },
                _,
            ) => Vec::new(),
        }
    }

    fn enter(&mut self, state: State, actions: Vec<Action>) -> Vec<Action> {
        self.state = state;
        actions
    }

    /// Runs with one generation, unless another restart waits.
    fn run_on(&mut self, epoch: Epoch, since: Instant, mut actions: Vec<Action>) -> Vec<Action> {
        self.state = State::Running { epoch, since };
        if std::mem::take(&mut self.queued) {
            actions.extend(self.prepare(epoch, since));
        }
        actions
    }

    fn prepare(&mut self, epoch: Epoch, since: Instant) -> Vec<Action> {
        self.enter(State::Preparing { epoch, since }, vec![Action::Prepare])
    }

    fn warm(&mut self, warming: Warming, now: Instant) -> Vec<Action> {
        let trust = if warming.old_accepts { Trust::Held } else { Trust::Asked };
        let wake = Action::WakeAt(now + self.policy.warm);
        let actions = vec![Action::Trust(trust), Action::Start(warming.old + 1), wake];
        self.enter(State::Warming(warming), actions)
    }

    fn warming(&mut self, warming: Warming, event: Event, now: Instant) -> Vec<Action> {
        let Warming { old, since, killed, old_accepts } = warming;
        let new = old + 1;
        match event {
            Event::Ready { epoch } if epoch == new && !killed => {
                let state = State::Replacing { old, new, since: now, pressed: Pressed::No };
                let deadline = now + self.policy.replaced;
                let outcome = Action::Report(Outcome::HandedOver { epoch });
                let trust = Action::Trust(Trust::Asked);
                self.enter(state, vec![trust, outcome, Action::WakeAt(deadline)])
            }
            // In good order: it has handed over, though the new one has not said so yet.
            Event::Exited { epoch, exit: Exit::Good } if epoch == old => {
                self.owed = Some(Outcome::HandedOver { epoch: new });
                self.run_on(new, now, Vec::new())
            }
            Event::Exited { epoch, .. } if epoch == old => {
                let report = Action::Report(Outcome::OldEnded);
                let actions = vec![Action::Trust(Trust::Asked), report];
                self.run_on(new, now, actions)
            }
            Event::Exited { exit: Exit::CannotHandOver, .. } if !killed => self.make_way(old, now),
            Event::Exited { .. } => {
                let outcome = if killed { Outcome::TimedOut } else { Outcome::Failed };
                let report = Action::Report(outcome);
                let trust = match self.policy.drain {
                    Drain::OnSigterm => Trust::Asked,
                    Drain::ByAdmin => Trust::Lost,
                };
                match old_accepts {
                    true => self.run_on(old, since, vec![Action::Trust(trust), report]),
                    false => [vec![report], self.retry(old, since, now)].concat(),
                }
            }
            Event::Timer if !killed => {
                let state = State::Warming(Warming { killed: true, ..warming });
                self.enter(state, vec![Action::Kill(new)])
            }
            _ => Vec::new(),
        }
    }

    /// The new one crashed when it had taken over.
    fn lost_new(&mut self, old: Epoch, since: Instant, now: Instant) -> Vec<Action> {
        match self.policy.drain {
            // It sees that its successor is gone, and takes connections again.
            Drain::OnSigterm => self.run_on(old, since, Vec::new()),
            Drain::ByAdmin => self.retry(old, since, now),
        }
    }

    fn retry(&mut self, old: Epoch, since: Instant, now: Instant) -> Vec<Action> {
        let at = now + self.next_back_off(since, now);
        self.enter(State::Retrying { old, since }, vec![Action::WakeAt(at)])
    }

    /// The deadline of the old one has passed, once and again.
    fn press(
        &mut self,
        old: Epoch,
        new: Epoch,
        since: Instant,
        pressed: Pressed,
        now: Instant,
    ) -> Vec<Action> {
        let (pressed, actions) = match pressed {
            Pressed::No => (
                Pressed::Terminated,
                vec![Action::Terminate(old), Action::WakeAt(now + LAST_MOMENT)],
            ),
            Pressed::Terminated => (Pressed::Killed, vec![Action::Kill(old)]),
            Pressed::Killed => return Vec::new(),
        };
        self.enter(State::Replacing { old, new, since, pressed }, actions)
    }

    fn crashed(&mut self, since: Instant, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.owed.take().is_some() {
            actions.extend([Action::Trust(Trust::Asked), Action::Report(Outcome::Failed)]);
        }
        actions.push(Action::WakeAt(now + self.next_back_off(since, now)));
        self.enter(State::BackingOff, actions)
    }

    fn next_back_off(&mut self, since: Instant, now: Instant) -> Duration {
        if now.duration_since(since) >= STABLE {
            self.crashes = 0;
        }
        let wait = FIRST_BACK_OFF.saturating_mul(1 << self.crashes.min(16)).min(MAX_BACK_OFF);
        self.crashes = self.crashes.saturating_add(1);
        wait
    }

    /// There is none: the first generation of a new row.
    fn start_anew(&mut self, now: Instant) -> Vec<Action> {
        let actions = vec![Action::Start(0)];
        [actions, self.run_on(0, now, Vec::new())].concat()
    }

    fn pay(&mut self) -> Vec<Action> {
        match self.owed.take() {
            Some(outcome) => vec![Action::Trust(Trust::Asked), Action::Report(outcome)],
            None => Vec::new(),
        }
    }

    /// The next generation cannot take over from this one, which therefore leaves first.
    fn make_way(&mut self, epoch: Epoch, now: Instant) -> Vec<Action> {
        self.owed = Some(Outcome::StartedAnew);
        let (ending, actions) = Ending::to_start_anew(&self.policy, epoch, now);
        let trust = Action::Trust(Trust::Asked);
        let actions = [vec![trust, Action::MakeWay], actions].concat();
        self.enter(State::Ending(ending), actions)
    }

    fn told_to_end(&mut self, now: Instant) -> Vec<Action> {
        let (serving, spare) = match self.state {
            State::Running { epoch, .. } | State::Preparing { epoch, .. } => (epoch, None),
            State::Warming(Warming { old, .. }) => (old, Some(old + 1)),
            State::Replacing { old, new, .. } => (new, Some(old)),
            State::Retrying { old, .. } => (old, None),
            State::BackingOff | State::Ending(_) => {
                return vec![Action::Report(Outcome::Ending), Action::Leave(exit::OK)];
            }
        };
        let (ending, actions) = Ending::to_leave(&self.policy, serving, spare, now);
        self.enter(State::Ending(ending), actions)
    }

    fn ending(&mut self, mut ending: Ending, event: Event, now: Instant) -> Vec<Action> {
        let (over, actions) = ending.step(&self.policy, event, now);
        self.queued |= event == Event::Restart && !ending.leaves();
        match over {
            // Ready again, with a proxy that is started anew.
            true if !ending.leaves() => [vec![Action::Serve], self.start_anew(now)].concat(),
            _ => self.enter(State::Ending(ending), actions),
        }
    }
}
