//! Steps of the older process: from being asked to its end, or back.

use std::time::Duration;

use super::super::message::{Hello, Reason, VERSION};
use super::{Action, Machine, Newer, NewerSaid, Older, Own, PATIENCE, SILENCE};

/// Sends what is ready, and waits for the answer.
fn sent() -> [Action; 2] {
    [Action::SendNext, Action::TimeNewer(Some(SILENCE))]
}

impl Machine {
    pub(super) fn asked(&mut self, hello: &Hello) -> Vec<Action> {
        let refusal = if hello.version != VERSION {
            Some(Reason::Version)
        } else if self.newer != Newer::None {
            Some(Reason::Busy)
        } else if self.own == Own::Starting {
            Some(Reason::Starting)
        } else if self.own == Own::Ending || self.is_closed {
            Some(Reason::Ending)
        } else if hello.epoch <= self.epoch {
            Some(Reason::Epoch)
        } else {
            None
        };
        match refusal {
            Some(reason) => vec![Action::Refuse(reason)],
            // Two generations at most.
            None if self.older == Older::Draining => {
                self.newer = Newer::Waiting;
                let wait = Action::SayWait(self.older_leaves_in());
                vec![Action::Admit, wait, Action::TimeNewer(None)]
            }
            None => [Action::Admit].into_iter().chain(self.welcome()).collect(),
        }
    }

    pub(super) fn welcome(&mut self) -> Vec<Action> {
        self.newer = Newer::TakingSockets;
        let patience = Action::TimeNewer(Some(SILENCE));
        vec![Action::LoadSockets, Action::SayWelcome, patience]
    }

    pub(super) fn newer_said(&mut self, said: NewerSaid) -> Vec<Action> {
        match (self.newer, said) {
            (Newer::None | Newer::Released, _) => Vec::new(),
            (
                Newer::TakingSockets
                | Newer::TakingCounts
                | Newer::Committing { .. }
                | Newer::Leaving,
                NewerSaid::Taken,
            ) => sent().into(),
            (Newer::Draining { .. }, NewerSaid::Taken) => vec![Action::SendNext],
            (Newer::Warming, NewerSaid::Ready { claimed, takes_pages, parent_shutdown }) => {
                self.newer = Newer::Pausing { parent_shutdown };
                let hand_over = [Action::TimeNewer(None), Action::HandOver(claimed)];
                // Pages at another address go on.
                let then = if takes_pages { vec![Action::StopPages] } else { self.pages_stopped() };
                hand_over.into_iter().chain(then).collect()
            }
            (Newer::Draining { .. }, NewerSaid::Ending) => self.release(self.drain_time),
            // It is the proxy, whatever it says.
            (Newer::Draining { .. }, _) => self.release(Duration::MAX),
            (Newer::Leaving, _) => vec![Action::Exit],
            (_, NewerSaid::Ending) => self.go_on(),
            (_, _) => self.withdraw(),
        }
    }

    pub(super) fn pages_stopped(&mut self) -> Vec<Action> {
        let Newer::Pausing { parent_shutdown } = self.newer else { return Vec::new() };
        self.newer = Newer::Committing { parent_shutdown };
        [Action::LoadCounts].into_iter().chain(sent()).collect()
    }

    pub(super) fn all_sent(&mut self) -> Vec<Action> {
        match self.newer {
            Newer::TakingSockets => {
                self.newer = Newer::TakingCounts;
                [Action::LoadCounts].into_iter().chain(sent()).collect()
            }
            Newer::TakingCounts => {
                self.newer = Newer::Warming;
                vec![Action::TimeNewer(Some(PATIENCE))]
            }
            Newer::Committing { parent_shutdown } => {
                self.newer = Newer::Draining { is_telling: false, is_empty: false };
                self.drain_for(parent_shutdown)
            }
            Newer::Draining { is_empty: true, .. } => self.leave(),
            Newer::Draining { is_empty: false, .. } => {
                self.newer = Newer::Draining { is_telling: false, is_empty: false };
                Vec::new()
            }
            Newer::Leaving => vec![Action::Exit],
            _ => Vec::new(),
        }
    }

    /// Lets connections go; when this process was asked to end, sooner.
    fn drain_for(&mut self, time: Duration) -> Vec<Action> {
        let time = if self.is_to_end { time.min(self.drain_time) } else { time };
        vec![Action::TimeNewer(None), Action::Discourage, Action::SetDeadline(time)]
    }

    pub(super) fn tick(&mut self) -> Vec<Action> {
        match self.newer {
            Newer::Draining { is_telling: false, is_empty } => {
                self.newer = Newer::Draining { is_telling: true, is_empty };
                vec![Action::LoadCounts, Action::SendNext]
            }
            _ => Vec::new(),
        }
    }

    pub(super) fn empty(&mut self) -> Vec<Action> {
        match self.newer {
            Newer::Draining { is_telling: false, .. } => self.leave(),
            Newer::Draining { is_telling: true, .. } => {
                self.newer = Newer::Draining { is_telling: true, is_empty: true };
                // In time for the answer to what is being told.
                vec![Action::TimeNewer(Some(SILENCE))]
            }
            Newer::Released => vec![Action::Exit],
            _ => Vec::new(),
        }
    }

    fn leave(&mut self) -> Vec<Action> {
        self.newer = Newer::Leaving;
        [Action::LoadCounts, Action::LoadLeft].into_iter().chain(sent()).collect()
    }

    pub(super) fn deadline(&mut self) -> Vec<Action> {
        match self.newer {
            Newer::Draining { .. } | Newer::Released => vec![Action::Cut],
            _ => Vec::new(),
        }
    }

    pub(super) fn newer_lost(&mut self, is_dead: bool) -> Vec<Action> {
        match self.newer {
            Newer::Pausing { parent_shutdown } | Newer::Committing { parent_shutdown }
                if !is_dead =>
            {
                self.released(parent_shutdown)
            }
            Newer::Draining { .. } if !is_dead => self.release(Duration::MAX),
            Newer::Leaving if !is_dead => vec![Action::Exit],
            _ => self.go_on(),
        }
    }

    pub(super) fn newer_silent(&mut self) -> Vec<Action> {
        match self.newer {
            Newer::None | Newer::Released => Vec::new(),
            // All is handed over, but for the last counts.
            Newer::Leaving | Newer::Draining { .. } => vec![Action::Exit],
            _ => self.withdraw(),
        }
    }

    /// The newer process is the proxy, and is not talked to any more.
    fn release(&mut self, deadline: Duration) -> Vec<Action> {
        self.newer = Newer::Released;
        let mut actions = vec![Action::TimeNewer(None), Action::ForgetNewer];
        if deadline != Duration::MAX {
            actions.push(Action::SetDeadline(deadline));
        }
        actions
    }

    /// The same before the drain has begun.
    fn released(&mut self, parent_shutdown: Duration) -> Vec<Action> {
        let drain = self.drain_for(parent_shutdown);
        self.release(Duration::MAX).into_iter().chain(drain).collect()
    }

    /// Tells the newer process that there will be nothing.
    fn withdraw(&mut self) -> Vec<Action> {
        [Action::SayWithdrawn].into_iter().chain(self.go_on()).collect()
    }

    /// There is no newer process any more, and this one is the proxy again.
    fn go_on(&mut self) -> Vec<Action> {
        let before = std::mem::replace(&mut self.newer, Newer::None);
        let mut actions = vec![Action::TimeNewer(None), Action::ForgetNewer];
        match before {
            Newer::None | Newer::Released => {
                self.newer = before;
                return Vec::new();
            }
            Newer::Waiting | Newer::TakingSockets | Newer::TakingCounts | Newer::Warming => {}
            Newer::Pausing { .. }
            | Newer::Committing { .. }
            | Newer::Draining { .. }
            | Newer::Leaving => actions.push(Action::Resume),
        }
        actions
    }

    pub(super) fn close(&mut self) -> Vec<Action> {
        self.is_closed = true;
        match self.newer {
            Newer::Waiting => {
                self.newer = Newer::None;
                vec![Action::SayRefused(Reason::Ending), Action::ForgetNewer]
            }
            Newer::TakingSockets | Newer::TakingCounts | Newer::Warming => self.withdraw(),
            _ => Vec::new(),
        }
    }
}
