//! Hot restart: a new process takes over from a running one, and no connection is lost.
//!
//! The new process asks the old one over a Unix socket for its listening sockets and its
//! counts, puts its configuration in force, accepts, and says so; the old one stops
//! accepting (it keeps the sockets, in case the new one dies), lets its connections go over
//! the drain time, and leaves when none is left.
//!
//! Asked to end (SIGTERM, SIGINT, `/quitquitquit`) in the middle of it, the new process ends
//! at once while the old one serves, which goes on; once it accepts it takes over first. The
//! old process goes on until the new one has taken over, or failed, and then ends in the
//! drain time; when it drains already its time is cut to that. A new process that ends in
//! good order after it has taken over does not bring the old one back: only its death does.
//!
//! See [`message`] for what they say, and
//! [`machine`] for what each does when: it decides, without any I/O, and is tested so;
//! [`Driver`] is the loop around it.

mod asking;
mod channel;
mod driver;
mod frame;
mod link;
mod machine;
mod message;
mod place;
mod sockets;

use std::time::Duration;

pub(crate) use driver::{Driver, Proxy};
pub(crate) use machine::Failure;
pub(crate) use message::VERSION;
pub(crate) use place::Place;

/// What the other process says, in pieces, each with descriptors.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    frame::fuzz(bytes, |message, descriptors| match message {
        message::Message::Ready(ready) => _ = ready.claimed(),
        message::Message::Counts(counts) => {
            let registry = crate::stats::Registry::new(1);
            registry.import_all(counts.counts.into_iter().filter_map(message::Count::read));
            registry.visit(&mut |_, _| {});
        }
        message::Message::Sockets(sockets) => {
            sockets::Gifts::default().keep(sockets, descriptors);
        }
        message => assert!(!message.name().is_empty()),
    });
}

/// What the command line says of it.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Where the other processes are; `None` without hot restart.
    pub(crate) place: Option<Place>,
    pub(crate) epoch: u32,
    /// How long connections have to end when this process ends, or a newer one takes over.
    pub(crate) drain_time: Duration,
    /// How long the older process has to leave once this one has taken over.
    pub(crate) parent_shutdown: Duration,
    /// Let all connections go at once when a newer process has taken over, not one after
    /// the other.
    pub(crate) is_immediate: bool,
}
