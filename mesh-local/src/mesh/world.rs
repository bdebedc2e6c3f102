//! What the parts of a running mesh share.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use serde_json::json;
use tokio::sync::watch;

use crate::error::Result;
use crate::event::Events;
use crate::manifest::{Key, Manifests, Service};
use crate::plan::{Addresses, hosts_file};
use crate::state::{StateDir, remove_file, write_object};

/// What the parts of a running mesh share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) state: StateDir,
    pub(crate) events: Events,
    pub(crate) bin_dir: PathBuf,
    /// Whether the control plane answers.
    pub(crate) pilot_ready: watch::Sender<bool>,
    shared: Mutex<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    addresses: Addresses,
    services: BTreeMap<Key, (Service, Option<Ipv4Addr>)>,
}

impl World {
    pub(crate) fn new(state: StateDir, bin_dir: PathBuf, events: Events) -> Self {
        let (pilot_ready, _) = watch::channel(false);
        Self { state, events, bin_dir, pilot_ready, shared: Mutex::default() }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        // Every change is one insertion, so a panic elsewhere leaves it whole.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the services their addresses and writes them for the pilot.
    pub(crate) fn set_services(&self, manifests: &Manifests) -> Result<()> {
        let mut shared = self.shared();
        shared.addresses.keep_services(|key| manifests.services.contains_key(key));
        let mut services = BTreeMap::new();
        for (key, service) in &manifests.services {
            let address = shared.addresses.service(service)?;
            services.insert(key.clone(), (service.clone(), address));
        }
        // Before the files, so that the next call finds those that this one has written.
        let before = std::mem::replace(&mut shared.services, services.clone());
        for (key, (service, address)) in &services {
            let mut object = service.value.clone();
            let address = address.map_or("None".to_owned(), |address| address.to_string());
            object["spec"]["clusterIP"] = json!(address);
            object["spec"]["clusterIPs"] = json!([address]);
            write_object(&self.state.service_file(key), &object)?;
        }
        for gone in before.keys().filter(|key| !services.contains_key(*key)) {
            remove_file(&self.state.service_file(gone))?;
        }
        Ok(())
    }

    /// The services' addresses, to go back to.
    pub(crate) fn service_addresses(&self) -> BTreeMap<Key, Ipv4Addr> {
        self.shared().addresses.services().clone()
    }

    /// Goes back to these addresses; [`World::set_services`] makes them known.
    pub(crate) fn set_service_addresses(&self, addresses: BTreeMap<Key, Ipv4Addr>) {
        self.shared().addresses.set_services(addresses);
    }

    /// A service by name.
    pub(crate) fn service(&self, key: &Key) -> Option<Service> {
        self.shared().services.get(key).map(|(service, _)| service.clone())
    }

    /// A pod's `/etc/hosts`.
    pub(crate) fn hosts_for(&self, pod: &Key, address: Ipv4Addr) -> String {
        let shared = self.shared();
        let services = shared.services.iter();
        let named = services.filter_map(|(key, (_, address))| Some((key.clone(), (*address)?)));
        hosts_file(pod, address, named)
    }

    pub(crate) fn pod_address(&self, pod: &Key) -> Result<Ipv4Addr> {
        self.shared().addresses.pod(pod)
    }

    pub(crate) fn release_pod(&self, pod: &Key) {
        self.shared().addresses.release_pod(pod);
    }
}
