//! What sidecars are told alike: translated and encoded once for all of them, and again only when
//! what it is made of has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use mesh_model::{PeerAuthentication, Service, Snapshot, TrafficPolicy};
use mesh_xds::server::{Resources, Store};

use super::encode::{Encoded, encode, together};
use crate::translate::{self, Families, Proxy, Role, translate};

/// Of all streams.
#[derive(Default)]
pub(super) struct Shared {
    /// Resources in use by any stream.
    store: Store,
    kept: Mutex<Kept>,
}

/// Of the newest snapshot that was translated.
#[derive(Default)]
struct Kept {
    version: u64,
    world: World,
    /// By full name.
    services: HashMap<String, Part>,
    namespaces: HashMap<(String, Families), Encoded>,
    /// How many services were translated, ever.
    translated: u64,
}

/// What sidecars are told of one service, and what that was made of besides the world.
struct Part {
    service: Arc<Service>,
    policy: Option<Arc<TrafficPolicy>>,
    encoded: Encoded,
}

/// What they are told of every service is made of this, too.
#[derive(Default, PartialEq)]
struct World {
    trust_domain: String,
    auto_mtls: bool,
    peer_authentications: Vec<Arc<PeerAuthentication>>,
}

impl Shared {
    /// What `translate` gives, encoded.
    pub(super) fn resources(&self, snapshot: &Snapshot, proxy: &Proxy) -> Resources {
        if proxy.role == Role::Router {
            return self.alone(snapshot, proxy);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.version < snapshot.version() {
            kept.renew(&self.store, snapshot);
        }
        if kept.version != snapshot.version() {
            // Another stream is ahead of this one, which will follow at once.
            drop(kept);
            return self.alone(snapshot, proxy);
        }
        let key = (proxy.namespace.clone(), proxy.families);
        if !kept.namespaces.contains_key(&key) {
            let translated = translate::of_namespace(snapshot, &proxy.namespace, proxy.families);
            kept.namespaces.insert(key.clone(), encode(&self.store, &translated));
        }
        let own = encode(&self.store, &translate::own(snapshot, proxy));
        let services = kept.services.values().map(|part| &part.encoded);
        together(services.chain(kept.namespaces.get(&key)).chain([&own]))
    }

    fn alone(&self, snapshot: &Snapshot, proxy: &Proxy) -> Resources {
        together([&encode(&self.store, &translate(snapshot, proxy))])
    }
}

impl Kept {
    fn renew(&mut self, store: &Store, snapshot: &Snapshot) {
        let world = World::of(snapshot);
        let mut former = std::mem::take(&mut self.services);
        if self.world != world {
            former.clear();
            self.world = world;
        }
        for service in snapshot.services() {
            let policy = snapshot.policy(&service.hostname);
            let known = former.remove(&service.hostname);
            let part = known.filter(|part| part.is_of(service, policy)).unwrap_or_else(|| {
                self.translated += 1;
                Part {
                    service: Arc::clone(service),
                    policy: policy.cloned(),
                    encoded: encode(store, &translate::of_service(snapshot, service)),
                }
            });
            // As in the snapshot, the first of a name counts.
            self.services.entry(service.hostname.clone()).or_insert(part);
        }
        self.namespaces.clear();
        self.version = snapshot.version();
    }
}

impl Part {
    /// An adapter need not keep what it makes anew the same.
    fn is_of(&self, service: &Arc<Service>, policy: Option<&Arc<TrafficPolicy>>) -> bool {
        (Arc::ptr_eq(&self.service, service) || self.service == *service)
            && self.policy.as_ref() == policy
    }
}

impl World {
    fn of(snapshot: &Snapshot) -> Self {
        Self {
            trust_domain: snapshot.trust_domain().to_owned(),
            auto_mtls: snapshot.auto_mtls(),
            peer_authentications: snapshot.contents().peer_authentications.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use mesh_model::{
        Contents, Endpoint, MtlsMode, Protocol, Scope, ServiceName, ServicePort, TargetPort,
    };
    use mesh_proto::envoy::config::core::v3::Node;
    use mesh_xds::ResourceType;

    use super::*;

    const SERVICES: u8 = 50;

    fn service(number: u8, ready: bool) -> Arc<Service> {
        let name = ServiceName { name: format!("s{number}"), namespace: "shop".to_owned() };
        let address = IpAddr::from([10, 1, 0, number]);
        let port = ServicePort {
            name: "http".to_owned(),
            number: 80,
            target: TargetPort::Number(80),
            protocol: Protocol::Http,
        };
        let endpoint =
            Endpoint { service_port: 80, address, port: 80, ready, workload: None, locality: None };
        Arc::new(Service {
            hostname: name.hostname("cluster.local"),
            name,
            addresses: vec![[10, 2, 0, number].into()],
            aliases: Vec::new(),
            headless: false,
            ports: vec![port],
            endpoints: vec![endpoint],
        })
    }

    fn contents() -> Contents {
        Contents {
            cluster_domain: "cluster.local".to_owned(),
            trust_domain: "cluster.local".to_owned(),
            services: (0..SERVICES).map(|number| service(number, true)).collect(),
            auto_mtls: true,
            ..Contents::default()
        }
    }

    fn proxies() -> Vec<Proxy> {
        let proxy = |number: u8| {
            let namespace = if number.is_multiple_of(2) { "shop" } else { "bank" };
            let network = if number.is_multiple_of(3) { "fd00::" } else { "10.1.0." };
            let id = format!("sidecar~{network}{number}~p{number}.{namespace}~svc.cluster.local");
            Proxy::from_node(&Node { id, ..Node::default() }).unwrap()
        };
        (0..20).map(proxy).collect()
    }

    /// Each sidecar is told what `translate` gives; how many services were translated for all.
    fn told(shared: &Shared, version: u64, contents: &Contents) -> u64 {
        let before = shared.kept.lock().unwrap().translated;
        let snapshot = Snapshot::new(version, contents.clone());
        for proxy in proxies() {
            let (found, expected) =
                (shared.resources(&snapshot, &proxy), shared.alone(&snapshot, &proxy));
            for kind in ResourceType::ALL {
                assert!(found.get(kind).keys().eq(expected.get(kind).keys()), "{kind}");
                let pairs = found.get(kind).values().zip(expected.get(kind).values());
                for (found, expected) in pairs {
                    assert_eq!(found.any(), expected.any(), "{}", found.name());
                }
            }
        }
        shared.kept.lock().unwrap().translated - before
    }

    #[test]
    fn a_change_costs_what_it_concerns() {
        let shared = Shared::default();
        let mut contents = contents();
        assert_eq!(told(&shared, 1, &contents), 50, "once for all proxies");
        contents.services[7] = service(7, false);
        assert_eq!(told(&shared, 2, &contents), 1);
        // Made anew, and still the same.
        contents.services = contents.services.iter().map(|s| Arc::new((**s).clone())).collect();
        assert_eq!(told(&shared, 3, &contents), 0);
        contents.services.remove(9);
        assert_eq!(told(&shared, 4, &contents), 0);
        let strict = PeerAuthentication {
            name: ServiceName { name: "a".to_owned(), namespace: "mesh-system".to_owned() },
            scope: Scope::Mesh,
            mode: Some(MtlsMode::Disable),
            ports: Default::default(),
        };
        contents.peer_authentications.push(Arc::new(strict));
        assert_eq!(told(&shared, 5, &contents), 49, "it is for all of them");
        // A stream that is behind.
        assert_eq!(told(&shared, 4, &contents), 0);
    }
}
