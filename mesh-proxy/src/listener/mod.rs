//! From a listening socket to a network filter: accept, original destination, listener
//! filters, filter chain.

mod accept;
mod active;
mod bind;
mod chain;
mod connection;
mod inherited;
mod inspector;
mod matcher;
mod original_dst;
mod stats;
mod table;

pub(crate) use accept::{Bound, Slot};
pub(crate) use active::Active;
pub(crate) use bind::{bind, make_transparent};
pub(crate) use chain::Chain;
pub(crate) use inherited::Inherited;
pub(crate) use table::Table;
