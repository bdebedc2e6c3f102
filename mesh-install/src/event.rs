use tokio::sync::mpsc::UnboundedSender;

use crate::{Change, ObjectName};

/// What is going on, for whoever watches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// An object is as it should be.
    Applied(ObjectName, Change),
    /// An object of somebody else is used as it is.
    LeftAlone(ObjectName, &'static str),
    /// An object is gone.
    Deleted(ObjectName),
    /// Something is not ready, and why. Told again only when the reason changes.
    Waiting {
        /// What is waited for.
        what: String,
        /// What it lacks.
        why: String,
    },
    /// Something that was waited for is there.
    Ready(String),
    /// Something worth a line.
    Note(String),
}

/// Where events go. That nobody watches any more is no error.
#[derive(Clone, Debug)]
pub struct Events(UnboundedSender<Event>);

impl Events {
    /// Events that arrive at the other end of `to`.
    pub fn new(to: UnboundedSender<Event>) -> Self {
        Self(to)
    }

    pub(crate) fn tell(&self, event: Event) {
        let _ = self.0.send(event);
    }
}
