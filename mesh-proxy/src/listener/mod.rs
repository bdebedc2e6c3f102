//! From a listening socket to a network filter: accept, original destination, listener
//! filters, filter chain.

mod accept;
mod active;
mod balance;
mod bind;
mod chain;
mod connection;
mod inherited;
mod inspector;
mod limit;
mod matcher;
mod original_dst;
mod pipe;
mod proxy_protocol;
mod socket;
mod stats;
mod table;

pub(crate) use accept::{Bound, Slot};
pub(crate) use active::Active;
pub(crate) use bind::{bind, make_transparent};
pub(crate) use chain::Chain;
pub(crate) use inherited::Inherited;
#[cfg(fuzzing)]
pub(crate) use inspector::fuzz as fuzz_inspectors;
pub(crate) use pipe::bind as bind_pipe;
#[cfg(fuzzing)]
pub(crate) use proxy_protocol::fuzz as fuzz_proxy_protocol;
pub(crate) use table::Table;
