//! Addresses of pods and services.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use crate::error::{Error, Result};
use crate::manifest::{Key, Service};

/// The bridge's address: the pods' gateway, where the pilot listens.
pub(crate) const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 1);
/// Where on it, over TLS.
pub(crate) const PILOT_PORT: u16 = 15012;
/// The pods' network, /16.
pub(crate) const POD_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 0);
/// The services' virtual addresses, /16.
pub(crate) const SERVICE_NETWORK: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 0);
/// Of both networks.
pub(crate) const PREFIX_LENGTH: u8 = 16;

/// What is given out.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pods: BTreeMap<Key, Ipv4Addr>,
    services: BTreeMap<Key, Ipv4Addr>,
}

impl Addresses {
    /// The pod's address, the lowest that is free from 10.244.0.2 on.
    pub(crate) fn pod(&mut self, key: &Key) -> Result<Ipv4Addr> {
        if let Some(address) = self.pods.get(key) {
            return Ok(*address);
        }
        let used: BTreeSet<_> = self.pods.values().copied().collect();
        let free = (2..u16::MAX).map(|host| in_network(POD_NETWORK, host));
        let address = free.into_iter().find(|address| !used.contains(address));
        let address = address.ok_or_else(|| Error::failed("no address is left for a pod"))?;
        self.pods.insert(key.clone(), address);
        Ok(address)
    }

    /// Makes a pod's address free for others.
    pub(crate) fn release_pod(&mut self, key: &Key) {
        self.pods.remove(key);
    }

    /// Of each service that has one.
    pub(crate) fn services(&self) -> &BTreeMap<Key, Ipv4Addr> {
        &self.services
    }

    /// Forgets the services' addresses for these.
    pub(crate) fn set_services(&mut self, addresses: BTreeMap<Key, Ipv4Addr>) {
        self.services = addresses;
    }

    /// Makes the addresses of all other services free.
    pub(crate) fn keep_services(&mut self, is_kept: impl Fn(&Key) -> bool) {
        self.services.retain(|key, _| is_kept(key));
    }

    /// The service's virtual address: the one it has, the one it asks for, or one that
    /// follows from its name, so that it is the same at every start. Nothing for a headless
    /// service.
    pub(crate) fn service(&mut self, service: &Service) -> Result<Option<Ipv4Addr>> {
        if service.is_headless() {
            self.services.remove(&service.key);
            return Ok(None);
        }
        let address = match &service.cluster_ip {
            Some(wanted) => self.wanted(service, wanted)?,
            None => match self.services.get(&service.key) {
                Some(address) => *address,
                None => self.free_service_address(&service.key)?,
            },
        };
        self.services.insert(service.key.clone(), address);
        Ok(Some(address))
    }

    fn wanted(&self, service: &Service, wanted: &str) -> Result<Ipv4Addr> {
        let refused = |why: &str| {
            Error::manifest(&service.at, format!("spec.clusterIP: {wanted:?} {why}; leave it out"))
        };
        let address: Ipv4Addr = wanted.parse().map_err(|_| refused("is no IPv4 address"))?;
        if address.octets()[..2] != SERVICE_NETWORK.octets()[..2] {
            return Err(refused("is not in 10.96.0.0/16"));
        }
        match self.services.iter().find(|(key, used)| **used == address && **key != service.key) {
            Some((other, _)) => Err(refused(&format!("belongs to service {other}"))),
            None => Ok(address),
        }
    }

    fn free_service_address(&self, key: &Key) -> Result<Ipv4Addr> {
        let used: BTreeSet<_> = self.services.values().copied().collect();
        let start = fnv1a(&key.to_string());
        (0..u16::MAX)
            .map(|step| start.wrapping_add(step))
            .filter(|host| (1..u16::MAX).contains(host))
            .map(|host| in_network(SERVICE_NETWORK, host))
            .find(|address| !used.contains(address))
            .ok_or_else(|| Error::failed("no address is left for a service"))
    }
}

fn in_network(network: Ipv4Addr, host: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(network) | u32::from(host))
}

/// FNV-1a folded to 16 bits: the same on every machine and in every version, as std's
/// hashers do not promise to be.
fn fnv1a(text: &str) -> u16 {
    let hash = text
        .bytes()
        .fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash >> 16) as u16 ^ hash as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Document, Manifests};

    fn service(name: &str, extra: &str) -> Service {
        let text = format!(
            "kind: Service\nmetadata: {{name: {name}}}\nspec: {{ports: [{{port: 80}}]{extra}}}\n"
        );
        let manifests = Manifests::from_documents(Document::parse("s", &text).unwrap()).unwrap();
        manifests.services.into_values().next().unwrap()
    }

    #[test]
    fn a_service_has_the_same_address_at_every_start() {
        let reviews = service("reviews", "");
        let first = Addresses::default().service(&reviews).unwrap().unwrap();
        let mut later = Addresses::default();
        later.service(&service("ratings", "")).unwrap();
        assert_eq!(later.service(&reviews).unwrap(), Some(first));
        assert_eq!(first.octets()[..2], [10, 96]);
    }

    #[test]
    fn a_taken_or_foreign_cluster_ip_is_refused() {
        let mut addresses = Addresses::default();
        addresses.service(&service("a", ", clusterIP: 10.96.0.9")).unwrap();
        let error = addresses.service(&service("b", ", clusterIP: 10.96.0.9")).unwrap_err();
        assert!(error.to_string().contains("belongs to service default/a"), "{error}");
        assert!(addresses.service(&service("b", ", clusterIP: 10.0.0.9")).is_err());
        assert_eq!(addresses.service(&service("b", ", clusterIP: None")).unwrap(), None);
    }

    #[test]
    fn pods_take_the_lowest_free_address() {
        let key = |name: &str| Key { namespace: "default".to_owned(), name: name.to_owned() };
        let mut addresses = Addresses::default();
        assert_eq!(addresses.pod(&key("a")).unwrap(), Ipv4Addr::new(10, 244, 0, 2));
        assert_eq!(addresses.pod(&key("b")).unwrap(), Ipv4Addr::new(10, 244, 0, 3));
        addresses.release_pod(&key("a"));
        assert_eq!(addresses.pod(&key("c")).unwrap(), Ipv4Addr::new(10, 244, 0, 2));
        assert_eq!(addresses.pod(&key("b")).unwrap(), Ipv4Addr::new(10, 244, 0, 3));
    }
}
