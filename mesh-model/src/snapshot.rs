//! All that the mesh is at one moment.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::peer_authentication::ByScope;
use crate::{
    Attachment, Gateway, InboundMtls, Labels, MtlsMode, PeerAuthentication, Service, ServiceName,
    TrafficPolicy, TrafficRoute, Workload,
};

/// What a snapshot is made of, in any order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Contents {
    /// The domain of services' full names, `cluster.local`.
    pub cluster_domain: String,
    /// Who vouches for identities: the first part of each, `cluster.local`.
    pub trust_domain: String,
    /// Services with their endpoints.
    pub services: Vec<Arc<Service>>,
    /// Pods.
    pub workloads: Vec<Arc<Workload>>,
    /// Routes, in the sidecars at most one for each host.
    pub routes: Vec<Arc<TrafficRoute>>,
    /// Where requests come in.
    pub gateways: Vec<Arc<Gateway>>,
    /// Policies, at most one for each host.
    pub policies: Vec<Arc<TrafficPolicy>>,
    /// How workloads take connections, at most one rule for each scope.
    pub peer_authentications: Vec<Arc<PeerAuthentication>>,
    /// Whether sidecars encrypt, and take what is encrypted, where no rule says anything.
    pub auto_mtls: bool,
}

/// All that the mesh is at one moment; never changes. Made once for each change, shared
/// in an `Arc`, and looked up without searching.
#[derive(Debug)]
pub struct Snapshot {
    version: u64,
    contents: Contents,
    by_hostname: HashMap<String, usize>,
    by_address: HashMap<IpAddr, usize>,
    services_at: HashMap<IpAddr, Vec<usize>>,
    route_by_host: HashMap<String, usize>,
    routes_by_gateway: HashMap<ServiceName, Vec<usize>>,
    policy_by_host: HashMap<String, usize>,
    peer_authentication: ByScope,
}

impl Snapshot {
    /// A snapshot of `contents`, which it sorts by namespace and name. Where two share a
    /// hostname, an address or a host, the first counts.
    pub fn new(version: u64, mut contents: Contents) -> Self {
        contents.services.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        contents.workloads.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        contents.routes.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        contents.gateways.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        contents.policies.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        contents.peer_authentications.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));

        let Contents { services, workloads, routes, policies, .. } = &contents;
        let by_hostname = index(services.iter().map(|service| service.hostname.clone()));
        let by_address = index(workloads.iter().map(|workload| workload.address));
        let policy_by_host = index(policies.iter().map(|policy| policy.host.clone()));
        let mut route_by_host = HashMap::new();
        let mut routes_by_gateway: HashMap<_, Vec<usize>> = HashMap::new();
        for (position, route) in routes.iter().enumerate() {
            for place in &route.attached {
                match place {
                    Attachment::Mesh => {
                        for host in &route.hosts {
                            route_by_host.entry(host.clone()).or_insert(position);
                        }
                    }
                    Attachment::Gateway(gateway) => {
                        routes_by_gateway.entry(gateway.clone()).or_default().push(position);
                    }
                }
            }
        }
        let mut services_at: HashMap<_, Vec<usize>> = HashMap::new();
        for (position, service) in services.iter().enumerate() {
            for endpoint in &service.endpoints {
                let at = services_at.entry(endpoint.address).or_default();
                if at.last() != Some(&position) {
                    at.push(position);
                }
            }
        }
        Self {
            version,
            peer_authentication: ByScope::new(&contents.peer_authentications),
            contents,
            by_hostname,
            by_address,
            services_at,
            route_by_host,
            routes_by_gateway,
            policy_by_host,
        }
    }

    /// Grows by each change; 0 is the snapshot before anything was read.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What it was made of, sorted. Two snapshots with equal contents mean the same.
    pub fn contents(&self) -> &Contents {
        &self.contents
    }

    /// The domain of services' full names, `cluster.local`.
    pub fn cluster_domain(&self) -> &str {
        &self.contents.cluster_domain
    }

    /// Who vouches for identities: the first part of each, `cluster.local`.
    pub fn trust_domain(&self) -> &str {
        &self.contents.trust_domain
    }

    /// All services, by namespace and name.
    pub fn services(&self) -> &[Arc<Service>] {
        &self.contents.services
    }

    /// The service of this fully qualified name.
    pub fn service(&self, hostname: &str) -> Option<&Arc<Service>> {
        self.contents.services.get(*self.by_hostname.get(hostname)?)
    }

    /// All pods, by namespace and name.
    pub fn workloads(&self) -> &[Arc<Workload>] {
        &self.contents.workloads
    }

    /// The pod of this address.
    pub fn workload_at(&self, address: IpAddr) -> Option<&Arc<Workload>> {
        self.contents.workloads.get(*self.by_address.get(&address)?)
    }

    /// All routes, by namespace and name.
    pub fn routes(&self) -> &[Arc<TrafficRoute>] {
        &self.contents.routes
    }

    /// The route, in sidecars, of requests for this fully qualified name.
    pub fn route(&self, hostname: &str) -> Option<&Arc<TrafficRoute>> {
        self.contents.routes.get(*self.route_by_host.get(hostname)?)
    }

    /// The routes, by namespace and name, of requests that come in by a gateway.
    pub fn routes_of(&self, gateway: &ServiceName) -> impl Iterator<Item = &Arc<TrafficRoute>> {
        let positions = self.routes_by_gateway.get(gateway).into_iter().flatten();
        positions.filter_map(|position| self.contents.routes.get(*position))
    }

    /// The gateways, by namespace and name, that a pod with these labels is of.
    pub fn gateways_of(&self, labels: &Labels) -> impl Iterator<Item = &Arc<Gateway>> {
        let gateways = self.contents.gateways.iter();
        gateways.filter(move |gateway| crate::workload::has_labels(labels, &gateway.selector))
    }

    /// All policies, by namespace and name.
    pub fn policies(&self) -> &[Arc<TrafficPolicy>] {
        &self.contents.policies
    }

    /// The policy of the service of this fully qualified name.
    pub fn policy(&self, hostname: &str) -> Option<&Arc<TrafficPolicy>> {
        self.contents.policies.get(*self.policy_by_host.get(hostname)?)
    }

    /// Whether sidecars encrypt where no rule says anything.
    pub fn auto_mtls(&self) -> bool {
        self.contents.auto_mtls
    }

    /// How a workload of this namespace with these labels takes connections.
    pub fn inbound_mtls(&self, namespace: &str, labels: &Labels) -> InboundMtls {
        let default = if self.auto_mtls() { MtlsMode::Permissive } else { MtlsMode::Disable };
        self.peer_authentication.effective(namespace, labels, default)
    }

    /// The services whose endpoints this address is among: those whose inbound requests
    /// its sidecar takes.
    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Service>> {
        let positions = self.services_at.get(&address).into_iter().flatten();
        positions.filter_map(|position| self.contents.services.get(*position))
    }
}

fn order(name: &ServiceName) -> (&str, &str) {
    (&name.namespace, &name.name)
}

fn index<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> HashMap<K, usize> {
    let mut index = HashMap::new();
    for (position, key) in keys.enumerate() {
        index.entry(key).or_insert(position);
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, namespace: &str) -> Arc<Service> {
        let name = ServiceName { name: name.into(), namespace: namespace.into() };
        Arc::new(Service {
            hostname: name.hostname("cluster.local"),
            name,
            address: None,
            headless: false,
            ports: Vec::new(),
            endpoints: Vec::new(),
        })
    }

    #[test]
    fn the_order_of_what_it_is_made_of_does_not_matter() {
        let services = vec![service("b", "default"), service("a", "shop"), service("a", "default")];
        let mut reversed = services.clone();
        reversed.reverse();
        let one = Snapshot::new(1, Contents { services, ..Default::default() });
        let two = Snapshot::new(2, Contents { services: reversed, ..Default::default() });
        assert_eq!(one.contents(), two.contents());
        let found = one.service("a.shop.svc.cluster.local").unwrap();
        assert_eq!(found.name.namespace, "shop");
        assert!(one.service("c.shop.svc.cluster.local").is_none());
    }
}
