//! What happens in a running mesh, for whoever shows it.

use tokio::sync::mpsc::UnboundedSender;

use crate::manifest::Key;

/// Something to tell the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A step was done.
    Note(String),
    /// Something went wrong and is being handled; a sentence.
    Warning(String),
    /// A pod became ready.
    PodReady(Key),
    /// A pod has done its work: its applications ended, and are not started again.
    PodDone(Key),
}

/// Where events go. A receiver that is gone is no error.
#[derive(Debug, Clone)]
pub(crate) struct Events(pub(crate) UnboundedSender<Event>);

impl Events {
    pub(crate) fn send(&self, event: Event) {
        let _ = self.0.send(event);
    }

    pub(crate) fn note(&self, text: impl Into<String>) {
        self.send(Event::Note(text.into()));
    }

    pub(crate) fn warning(&self, text: impl Into<String>) {
        self.send(Event::Warning(text.into()));
    }
}
