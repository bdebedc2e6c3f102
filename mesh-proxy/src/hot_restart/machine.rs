//! The state machine: what a process is to the one before it and to the one after it.
//!
//! Pure: [`Machine::step`] takes what happened and gives what is to be done, in order.
//! A process is the newer one first ([`Older`] is what the other is to it), then the proxy,
//! then the older one ([`Newer`]).

use std::time::Duration;

use super::message::{Hello, Reason, VERSION};
use crate::config::Address;

mod newer;
mod older;
#[cfg(test)]
mod tests;

/// How long an answer may take that needs no work.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// How long the new process may take until its configuration is in force.
pub(super) const WARM: Duration = Duration::from_secs(60);
/// How long the old process waits for it: longer, so that the new one tells why.
pub(super) const PATIENCE: Duration = Duration::from_secs(75);
/// How much longer than its time the old process may take to leave.
pub(super) const MARGIN: Duration = Duration::from_secs(15);
/// How often a process that ends a connection without a word is asked again.
const ATTEMPTS: u32 = 3;

/// What the process before this one is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Older {
    /// There is none, or none any more.
    None,
    /// It was asked for a handover; so often.
    Greeting { attempt: u32 },
    /// It sends its sockets, of which some may be here, and its counts.
    Receiving { has_sockets: bool },
    /// It serves, and waits for this one.
    Warming,
    /// It was told that this one accepts, and sends its last counts as the proxy.
    Committing,
    /// It lets its connections go.
    Draining,
}

/// What this process does for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Own {
    /// Nothing is in force yet, and nothing accepted.
    Starting,
    /// It is the proxy, or was.
    Serving,
    /// It was asked to end, and drains.
    Ending,
}

/// What the process after this one is to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newer {
    /// There is none.
    None,
    /// It waits until this one's older process has left.
    Waiting,
    /// It gets the sockets.
    TakingSockets,
    /// It gets the counts.
    TakingCounts,
    /// It has everything, and warms. This one serves.
    Warming,
    /// It accepts; the pages here are about to end.
    Pausing { parent_shutdown: Duration },
    /// It gets the counts that came since. Once it has them it is the proxy.
    Committing { parent_shutdown: Duration },
    /// It is the proxy. This one drains, and tells what it counts; perhaps just now.
    Draining { is_telling: bool, is_empty: bool },
    /// It gets the last counts.
    Leaving,
    /// It is the proxy, and not to be talked to any more; this one drains.
    Released,
}

/// What happened.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A process before this one was found.
    OlderFound,
    /// There is none to be found.
    NoOlder,
    OlderSaid(OlderSaid),
    /// The connection to it ended; with the process?
    OlderLost {
        is_dead: bool,
    },
    /// The time that [`Action::TimeOlder`] gave has passed.
    OlderSilent,
    /// This process's configuration is in force.
    Warm,
    /// A process asks for a handover.
    Asked(Hello),
    NewerSaid(NewerSaid),
    NewerLost {
        is_dead: bool,
    },
    NewerSilent,
    /// [`Action::SendNext`] found nothing left to send.
    AllSent,
    /// The pages answer nobody any more.
    PagesStopped,
    /// It is time to tell what was counted.
    Tick,
    /// No connection is left.
    Empty,
    /// The time that [`Action::SetDeadline`] gave has passed.
    Deadline,
    /// A signal or a page asks this process to end.
    Terminate,
    /// A page asked to stop listening: there is nothing to hand over any more.
    Closed,
}

/// What the older process said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum OlderSaid {
    Wait(Duration),
    Refused {
        reason: Reason,
        version: u32,
    },
    Welcome,
    Sockets,
    Counts {
        is_last: bool,
    },
    Withdrawn,
    Left,
    /// Something that only a newer process says.
    Nonsense,
}

/// What the newer process said.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum NewerSaid {
    Taken,
    Ready { claimed: Vec<Address>, takes_pages: bool, parent_shutdown: Duration },
    Ending,
    Nonsense,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    /// Look for a process before this one: [`Event::OlderFound`] or [`Event::NoOlder`].
    FindOlder,
    SayHello,
    /// Keep the sockets that just came.
    KeepSockets,
    /// Add the counts that just came.
    AddCounts,
    /// Answer the older process's message.
    SayTaken,
    SayReady,
    /// Tell the older process that this one ends.
    SayEnding,
    /// [`Event::OlderSilent`] after this time, or never.
    TimeOlder(Option<Duration>),
    /// There is no older process any more.
    ForgetOlder,
    /// Put the configuration in force, with the sockets that came, but accept nothing.
    Start,
    /// Start as the only process.
    StartAlone,
    /// Begin to accept.
    Open,
    ServePages,
    /// End with this error.
    Fail(Failure),

    /// Tell who asked that there will be no handover, and forget it.
    Refuse(Reason),
    /// Who asked is the newer process from here on.
    Admit,
    /// Tell the newer process to wait for so long at most.
    SayWait(Duration),
    SayWelcome,
    SayWithdrawn,
    /// Tell the newer process, which waits, that there will be no handover.
    SayRefused(Reason),
    /// Have the sockets ready for [`Action::SendNext`].
    LoadSockets,
    /// Have what was counted since the last time ready for [`Action::SendNext`].
    LoadCounts,
    /// Have the last word ready for [`Action::SendNext`].
    LoadLeft,
    /// Send the next message that is ready, or [`Event::AllSent`].
    SendNext,
    TimeNewer(Option<Duration>),
    ForgetNewer,
    /// Stop accepting; keep the sockets of these addresses.
    HandOver(Vec<Address>),
    /// [`Event::PagesStopped`] when it is done.
    StopPages,
    /// Let connections go, over the drain time.
    Discourage,
    /// Cut the connections after this time ([`Event::Deadline`]), or sooner if that was said
    /// before.
    SetDeadline(Duration),
    /// Accept again, answer pages again, let nobody go.
    Resume,
    /// End all connections at once.
    Cut,
    /// Drain in the drain time, and end.
    End,
    /// End now; all is done.
    Exit,
}

/// Why this process cannot take over. The older one goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    #[error(
        "hot restart: the running proxy speaks version {theirs} of the protocol, this one \
         {VERSION}: it cannot hand over to this one; it has to be ended before this one starts"
    )]
    Version { theirs: u32 },
    #[error("hot restart: {0}")]
    Refused(&'static str),
    #[error("hot restart: the running proxy withdrew from the handover and goes on")]
    Withdrawn,
    #[error("hot restart: the running proxy does not answer")]
    Silent,
    #[error("hot restart: the running proxy said something unexpected")]
    Nonsense,
    #[error(
        "hot restart: the configuration was not in force after {WARM:?} (clusters, endpoints or listeners are still missing); the running proxy goes on"
    )]
    NotWarm,
}

impl Failure {
    fn refused(reason: Reason, version: u32) -> Self {
        Self::Refused(match reason {
            Reason::Version => return Self::Version { theirs: version },
            Reason::Busy => "the running proxy hands over to another process already",
            Reason::Starting => "the running proxy is not serving yet",
            Reason::Ending => "the running proxy was asked to end",
            Reason::Epoch => "the running proxy has this --restart-epoch, or a higher one",
            Reason::Unknown => "the running proxy refuses the handover",
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Machine {
    pub(super) older: Older,
    pub(super) own: Own,
    pub(super) newer: Newer,
    epoch: u32,
    drain_time: Duration,
    /// How long the older process may take to leave.
    parent_shutdown: Duration,
    /// Asked to end when that could not be done.
    is_to_end: bool,
    /// There is nothing to hand over any more.
    is_closed: bool,
}

impl Machine {
    /// Of a process that has found nobody before it, and is the proxy as soon as it runs.
    pub(super) fn new(epoch: u32, drain_time: Duration, parent_shutdown: Duration) -> Self {
        Self {
            older: Older::None,
            own: Own::Serving,
            newer: Newer::None,
            epoch,
            drain_time,
            parent_shutdown,
            is_to_end: false,
            is_closed: false,
        }
    }

    pub(super) fn step(&mut self, event: Event) -> Vec<Action> {
        let mut actions = match event {
            Event::OlderFound => self.older_found(),
            Event::NoOlder => self.no_older(),
            Event::OlderSaid(said) => self.older_said(&said),
            Event::OlderLost { is_dead } => self.older_lost(is_dead),
            Event::OlderSilent => self.older_silent(),
            Event::Warm => self.warm(),
            Event::Asked(hello) => self.asked(&hello),
            Event::NewerSaid(said) => self.newer_said(said),
            Event::NewerLost { is_dead } => self.newer_lost(is_dead),
            Event::NewerSilent => self.newer_silent(),
            Event::AllSent => self.all_sent(),
            Event::PagesStopped => self.pages_stopped(),
            Event::Tick => self.tick(),
            Event::Empty => self.empty(),
            Event::Deadline => self.deadline(),
            Event::Terminate => self.terminate(),
            Event::Closed => self.close(),
        };
        // What could not be done before.
        if self.is_to_end && self.may_end() {
            actions.extend(self.end());
        }
        if self.newer == Newer::Waiting && self.older == Older::None && self.own == Own::Serving {
            actions.extend(self.welcome());
        }
        actions
    }

    /// Whether to end is this process's own affair: it is the proxy, and nobody is about to
    /// take over.
    fn may_end(&self) -> bool {
        self.own == Own::Serving && matches!(self.newer, Newer::None | Newer::Waiting)
    }

    fn terminate(&mut self) -> Vec<Action> {
        match (self.own, self.older, self.newer) {
            (Own::Starting, Older::Committing, _) => self.is_to_end = true,
            (Own::Starting, _, _) => return vec![Action::Exit],
            (Own::Ending, _, _) | (_, _, Newer::Leaving) => {}
            (_, _, Newer::Draining { .. } | Newer::Released) => {
                return vec![Action::SetDeadline(self.drain_time)];
            }
            // The newer process takes over, or fails, and then this one ends.
            (Own::Serving, _, _) => self.is_to_end = true,
        }
        Vec::new()
    }

    fn end(&mut self) -> Vec<Action> {
        let mut actions = Vec::new();
        if self.newer == Newer::Waiting {
            self.newer = Newer::None;
            actions.extend([Action::SayRefused(Reason::Ending), Action::ForgetNewer]);
        }
        if self.older == Older::Draining {
            actions.push(Action::SayEnding);
        }
        self.own = Own::Ending;
        actions.push(Action::End);
        actions
    }
}
