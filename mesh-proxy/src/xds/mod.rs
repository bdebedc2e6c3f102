//! Configuration by ADS: which of it is in force, which waits, which was refused.
//!
//! [`State`] decides, without any I/O, and is tested so; [`Control`] is the loop around it
//! that talks to the control plane and changes the data plane. Static resources take the
//! same way, so that one place knows all that there is.

mod clusters;
mod control;
mod grpc;
mod listeners;
mod open;
mod resource;
mod response;
mod sds;
mod secrets;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use control::Control;
pub(crate) use grpc::Targets;
pub(crate) use resource::{Entry, Failure, Version};
pub(crate) use state::{Now, Stage, State};
