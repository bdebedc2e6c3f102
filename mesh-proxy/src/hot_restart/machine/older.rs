//! Steps of the newer process: from the first word to the end of the older one.

use std::time::Duration;

use super::{ATTEMPTS, Action, Failure, MARGIN, Machine, Older, OlderSaid, Own, SILENCE, WARM};

/// Answers a message, and waits for the next one.
fn answered() -> [Action; 2] {
    [Action::SayTaken, Action::TimeOlder(Some(SILENCE))]
}

impl Machine {
    pub(super) fn older_found(&mut self) -> Vec<Action> {
        let attempt = match self.older {
            Older::Greeting { attempt } => attempt + 1,
            _ => 1,
        };
        if attempt > ATTEMPTS {
            return vec![Action::Fail(Failure::Silent)];
        }
        self.own = Own::Starting;
        self.older = Older::Greeting { attempt };
        vec![Action::SayHello, Action::TimeOlder(Some(SILENCE))]
    }

    pub(super) fn no_older(&mut self) -> Vec<Action> {
        self.older = Older::None;
        self.own = Own::Serving;
        vec![Action::TimeOlder(None), Action::StartAlone]
    }

    pub(super) fn older_said(&mut self, said: &OlderSaid) -> Vec<Action> {
        match (self.older, said) {
            (Older::Greeting { .. }, OlderSaid::Wait(at_most)) => {
                vec![Action::TimeOlder(Some(at_most.saturating_add(SILENCE)))]
            }
            (Older::Greeting { .. }, OlderSaid::Refused { reason, version }) => {
                vec![Action::Fail(Failure::refused(*reason, *version))]
            }
            (Older::Greeting { .. }, OlderSaid::Welcome) => {
                self.older = Older::Receiving { has_sockets: false };
                answered().into()
            }
            (Older::Receiving { .. }, OlderSaid::Sockets) => {
                self.older = Older::Receiving { has_sockets: true };
                [Action::KeepSockets].into_iter().chain(answered()).collect()
            }
            (Older::Receiving { .. } | Older::Committing, OlderSaid::Counts { is_last: false }) => {
                [Action::AddCounts].into_iter().chain(answered()).collect()
            }
            (Older::Receiving { .. }, OlderSaid::Counts { is_last: true }) => {
                self.older = Older::Warming;
                let warm = Action::TimeOlder(Some(WARM));
                vec![Action::AddCounts, Action::SayTaken, warm, Action::Start]
            }
            (Older::Committing, OlderSaid::Counts { is_last: true }) => {
                self.older = Older::Draining;
                self.own = Own::Serving;
                let patience = self.parent_shutdown.saturating_add(MARGIN);
                // The pages first: whoever asked meanwhile is answered when the older one
                // knows that all is well.
                vec![
                    Action::AddCounts,
                    Action::ServePages,
                    Action::SayTaken,
                    Action::TimeOlder(Some(patience)),
                ]
            }
            (Older::Draining, OlderSaid::Counts { .. }) => {
                vec![Action::AddCounts, Action::SayTaken]
            }
            (Older::Draining, OlderSaid::Left) => {
                [Action::SayTaken].into_iter().chain(self.forget_older()).collect()
            }
            (_, OlderSaid::Withdrawn) => self.fail(Failure::Withdrawn),
            _ => self.fail(Failure::Nonsense),
        }
    }

    pub(super) fn older_lost(&mut self, is_dead: bool) -> Vec<Action> {
        match self.older {
            Older::None => Vec::new(),
            // Dead, or too busy to say why: the next one found is another one, or says it.
            Older::Greeting { .. } => vec![Action::FindOlder],
            Older::Receiving { has_sockets: false } if is_dead => vec![Action::FindOlder],
            Older::Receiving { .. } if is_dead => {
                let start = [Action::TimeOlder(Some(WARM)), Action::Start];
                self.older = Older::None;
                [Action::ForgetOlder].into_iter().chain(start).collect()
            }
            // The time to warm goes on.
            Older::Warming if is_dead => {
                self.older = Older::None;
                vec![Action::ForgetOlder]
            }
            Older::Receiving { .. } | Older::Warming => self.fail(Failure::Withdrawn),
            // This process accepts, and nobody else takes that over again: an older process
            // that lives drains.
            Older::Committing => self.serve_alone(),
            Older::Draining => self.forget_older(),
        }
    }

    pub(super) fn older_silent(&mut self) -> Vec<Action> {
        match self.older {
            // Alone, and not warm in time: what there is serves.
            Older::None if self.own == Own::Starting => self.open_alone(),
            Older::None => Vec::new(),
            Older::Greeting { .. } | Older::Receiving { .. } => self.fail(Failure::Silent),
            Older::Warming => self.fail(Failure::NotWarm),
            Older::Committing => self.serve_alone(),
            Older::Draining => self.forget_older(),
        }
    }

    pub(super) fn warm(&mut self) -> Vec<Action> {
        match (self.older, self.own) {
            (Older::Warming, _) => {
                self.older = Older::Committing;
                vec![Action::Open, Action::SayReady, Action::TimeOlder(Some(SILENCE))]
            }
            (Older::None, Own::Starting) => self.open_alone(),
            _ => Vec::new(),
        }
    }

    fn open_alone(&mut self) -> Vec<Action> {
        self.own = Own::Serving;
        vec![Action::TimeOlder(None), Action::Open, Action::ServePages]
    }

    /// This process accepts, and the older one is out of the way.
    fn serve_alone(&mut self) -> Vec<Action> {
        self.own = Own::Serving;
        self.forget_older().into_iter().chain([Action::ServePages]).collect()
    }

    fn forget_older(&mut self) -> Vec<Action> {
        self.older = Older::None;
        vec![Action::TimeOlder(None), Action::ForgetOlder]
    }

    /// Before this process is the proxy it must not be it against the older one's will;
    /// afterwards the older one is not needed.
    fn fail(&mut self, failure: Failure) -> Vec<Action> {
        match self.older {
            Older::None => Vec::new(),
            Older::Draining => self.forget_older(),
            _ => vec![Action::Fail(failure)],
        }
    }

    /// How long the older process takes to leave, at most.
    pub(super) fn older_leaves_in(&self) -> Duration {
        self.parent_shutdown.saturating_add(MARGIN)
    }
}
