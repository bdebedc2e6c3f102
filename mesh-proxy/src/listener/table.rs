//! The listeners by address, for `use_original_dst`.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::Active;
use crate::config::Address;

type Map = HashMap<SocketAddr, Arc<Active>, RandomState>;

/// Where the workers find the listener of an original destination, without a lock.
#[derive(Default)]
pub(crate) struct Table(ArcSwap<Map>);

impl Table {
    /// Takes the place of all listeners that were there.
    pub(crate) fn replace<'a>(&self, listeners: impl Iterator<Item = &'a Arc<Active>>) {
        let map = listeners.flat_map(|listener| {
            let addresses = listener.config.addresses().filter_map(Address::ip);
            addresses.map(|address| (address, Arc::clone(listener)))
        });
        self.0.store(Arc::new(map.collect()));
    }

    /// The listener of exactly this address and port, else an unbound one of every
    /// address of this port.
    ///
    /// Envoy gives a redirected connection to a *bound* listener of every address too.
    /// That one serves this machine, and the connection is meant for another: asking
    /// another pod's 15090 would be answered by one's own.
    pub(super) fn find(&self, destination: SocketAddr) -> Option<Arc<Active>> {
        let map = self.0.load();
        let any = match destination.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        let wildcard = SocketAddr::new(any, destination.port());
        let found = map.get(&destination);
        found.or_else(|| map.get(&wildcard).filter(|any| !any.config.bind_to_port)).cloned()
    }
}
