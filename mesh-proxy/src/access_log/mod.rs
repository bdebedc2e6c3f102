//! Access logs: a record of what happened, formatted where it happened, written by a
//! thread of its own.

mod flags;
mod format;
mod record;
mod time;
mod writer;

pub(crate) use flags::Flags;
pub(crate) use record::{Record, Request};
pub(crate) use writer::{Log, Writers};
