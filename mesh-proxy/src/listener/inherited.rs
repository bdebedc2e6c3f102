//! Sockets of the older process of a hot restart.

use std::collections::BTreeMap;
use std::net::TcpListener;

use crate::config::Address;

/// Listening sockets that another process gave, until a listener claims those of its
/// address. What nobody claims is closed with this.
#[derive(Default)]
pub(crate) struct Inherited(BTreeMap<Address, Vec<TcpListener>>);

impl Inherited {
    pub(crate) fn add(&mut self, address: Address, sockets: impl IntoIterator<Item = TcpListener>) {
        self.0.entry(address).or_default().extend(sockets);
    }

    /// All sockets of exactly this address.
    pub(crate) fn claim(&mut self, address: &Address) -> Option<Vec<TcpListener>> {
        self.0.remove(address)
    }

    /// Whether the older process listens on this port: on another address of it, perhaps
    /// all of them, which this process may share with it.
    pub(crate) fn knows_port(&self, port: u16) -> bool {
        self.0.keys().filter_map(Address::ip).any(|address| address.port() == port)
    }
}
