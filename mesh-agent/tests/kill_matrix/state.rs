//! The states of a handover, each by the message that is about to come.

use mesh_testkit::{HandoverRelay, Held};

/// A state: the message that is held, and what came before it.
#[derive(Debug)]
pub(crate) struct State {
    /// For the table.
    pub(crate) name: &'static str,
    message: &'static str,
    before: &'static str,
    /// Whether the new proxy has said that it accepts.
    ready: bool,
    /// Whether the new proxy has the listening sockets, so that nobody is refused when the
    /// old one dies.
    pub(crate) sockets_are_shared: bool,
}

const fn state(
    name: &'static str,
    message: &'static str,
    before: &'static str,
    ready: bool,
    sockets_are_shared: bool,
) -> State {
    State { name, message, before, ready, sockets_are_shared }
}

pub(crate) const STATES: [State; 12] = [
    state("before Hello", "Hello", "", false, false),
    state("before Welcome", "Welcome", "Hello", false, false),
    state("Welcome not acknowledged", "Taken", "Welcome", false, false),
    state("before the sockets", "Sockets", "Taken", false, false),
    state("sockets not acknowledged", "Taken", "Sockets", false, true),
    state("before the counts", "Counts", "Taken", false, true),
    state("counts not acknowledged", "Taken", "Counts", false, true),
    state("before Ready", "Ready", "Taken", false, true),
    state("before the last counts", "Counts", "Ready", true, true),
    state("last counts not acknowledged", "Taken", "Counts", true, true),
    state("while the old one drains", "Counts", "Taken", true, true),
    state("before it says that it has left", "Left", "Taken", true, true),
];

impl State {
    /// Whether the new proxy may have accepted connections. What it says does not wait to be
    /// heard: while its word that it has the counts is held, it goes on and accepts.
    pub(crate) fn new_serves(&self) -> bool {
        let has_counts = self.message == "Taken" && self.before == "Counts";
        self.ready || self.message == "Ready" || has_counts
    }

    /// Lets the handover go on until it is in this state, and gives the message.
    pub(crate) fn reach(&self, relay: &HandoverRelay) -> Held {
        let (mut before, mut ready) = ("", false);
        loop {
            let held = relay.expect();
            if (held.name, before, ready) == (self.message, self.before, self.ready) {
                return held;
            }
            before = held.name;
            ready |= before == "Ready";
            held.pass();
        }
    }
}
