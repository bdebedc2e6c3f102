//! From a listening socket to a network filter: accept, original destination, listener
//! filters, filter chain.

mod connection;

pub(crate) use connection::Connection;
