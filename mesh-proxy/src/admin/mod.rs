//! The admin pages, on a thread of their own: a big dump holds up neither requests nor
//! configuration.

mod certs;
mod clusters;
mod config_dump;
mod listeners;
mod logging;
mod memory;
mod pages;
mod query;
mod redact;
mod serve;
mod server;
mod server_info;
mod stats;
mod status;

pub(crate) use pages::Pages;
pub(crate) use server::Server;
pub(crate) use status::{Asked, Generation, Status};

/// Gives the memory that the calling thread has freed back to the system. Reading and
/// writing messages as text takes a few megabytes for a moment, which the allocator would
/// keep.
pub(crate) type Trim = fn();
