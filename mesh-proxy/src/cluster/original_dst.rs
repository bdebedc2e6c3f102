//! ORIGINAL_DST: the endpoint is where the connection was going.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use foldhash::fast::RandomState;

use super::Endpoint;
use crate::transport::tls::Client;

type Map = HashMap<SocketAddr, Arc<Endpoint>, RandomState>;

/// The destinations in use. Reading takes no lock; the first connection to a destination
/// does, and also forgets those that nobody uses any more.
#[derive(Default)]
pub(super) struct OriginalDestinations {
    map: ArcSwap<Map>,
    writing: Mutex<()>,
}

impl OriginalDestinations {
    /// The endpoint at `address`. `tls` is the same for all.
    pub(super) fn endpoint(&self, address: SocketAddr, tls: Option<&Arc<Client>>) -> Arc<Endpoint> {
        if let Some(known) = self.map.load().get(&address) {
            return Arc::clone(known);
        }
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut map = Map::clone(&self.map.load());
        if let Some(known) = map.get(&address) {
            return Arc::clone(known);
        }
        // Two: the old map's and the copy's. Pools and requests hold more.
        map.retain(|_, endpoint| Arc::strong_count(endpoint) > 2);
        let endpoint = Arc::new(Endpoint::new(address, tls.cloned(), None));
        map.insert(address, Arc::clone(&endpoint));
        self.map.store(Arc::new(map));
        endpoint
    }

    pub(super) fn visit(&self, see: &mut dyn FnMut(&Arc<Endpoint>)) {
        self.map.load().values().for_each(see);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_nobody_uses() {
        let destinations = OriginalDestinations::default();
        let at = |port| SocketAddr::from(([10, 0, 0, 1], port));
        let used = destinations.endpoint(at(1), None);
        assert_eq!(destinations.endpoint(at(1), None).id, used.id);
        drop(destinations.endpoint(at(2), None));
        destinations.endpoint(at(3), None);
        let mut ports = Vec::new();
        destinations.visit(&mut |endpoint| ports.push(endpoint.address.port()));
        ports.sort_unstable();
        assert_eq!(ports, [1, 3]);
    }
}
