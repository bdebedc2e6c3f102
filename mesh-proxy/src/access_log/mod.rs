//! Access logs: a record of what happened, formatted where it happened, written by a
//! thread of its own.

mod filter;
mod line;
mod writer;

pub(crate) use filter::Filter;
pub(crate) use line::write;
pub(crate) use writer::{Log, Writers};
