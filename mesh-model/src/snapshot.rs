//! All that the mesh is at one moment.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use crate::peer_authentication::ByScope;
use crate::{
    Attachment, Endpoint, Gateway, GatewayServer, InboundMtls, Labels, MtlsMode,
    PeerAuthentication, Service, ServiceName, TrafficPolicy, TrafficRoute, Workload,
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
    /// Routes.
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
    routes_by_host: HashMap<String, Vec<usize>>,
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
        contents.routes.sort_by(|a, b| (order(&a.name), &a.hosts).cmp(&(order(&b.name), &b.hosts)));
        contents.gateways.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        contents.policies.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));
        contents.peer_authentications.sort_by(|a, b| order(&a.name).cmp(&order(&b.name)));

        let Contents { services, workloads, routes, policies, .. } = &contents;
        let by_hostname = index(services.iter().map(|service| [service.hostname.clone()]));
        let by_address = index(workloads.iter().map(|workload| workload.addresses()));
        let policy_by_host = index(policies.iter().map(|policy| [policy.host.clone()]));
        let mut routes_by_host: HashMap<_, Vec<usize>> = HashMap::new();
        let mut routes_by_gateway: HashMap<_, Vec<usize>> = HashMap::new();
        for (position, route) in routes.iter().enumerate() {
            if route.is_for(&Attachment::Mesh) {
                for host in &route.hosts {
                    routes_by_host.entry(host.clone()).or_default().push(position);
                }
            }
            for (_, gateway) in route.attached.iter().filter_map(Attachment::gateway) {
                let routes = routes_by_gateway.entry(gateway.clone()).or_default();
                if routes.last() != Some(&position) {
                    routes.push(position);
                }
            }
        }
        let mut services_at: HashMap<_, Vec<usize>> = HashMap::new();
        for (position, service) in services.iter().enumerate() {
            for address in service.endpoints.iter().flat_map(Endpoint::addresses) {
                let at = services_at.entry(address).or_default();
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
            routes_by_host,
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

    /// The pod that has this address.
    pub fn workload_at(&self, address: IpAddr) -> Option<&Arc<Workload>> {
        self.contents.workloads.get(*self.by_address.get(&address)?)
    }

    /// All routes, by namespace and name.
    pub fn routes(&self) -> &[Arc<TrafficRoute>] {
        &self.contents.routes
    }

    /// The rules, by namespace and name, for what clients of `namespace` send to this fully
    /// qualified name: those that are for these clients alone, or else those that are for all.
    pub fn routes_to(&self, hostname: &str, namespace: &str) -> Vec<&Arc<TrafficRoute>> {
        let positions = self.routes_by_host.get(hostname).into_iter().flatten();
        let rules = positions.filter_map(|position| self.contents.routes.get(*position));
        let (all, own): (Vec<_>, Vec<_>) = rules
            .filter(|rule| rule.clients.as_ref().is_none_or(|clients| clients == namespace))
            .partition(|rule| rule.clients.is_none());
        if own.is_empty() { all } else { own }
    }

    /// The rules, by namespace and name, for requests that come in by this server of a gateway.
    pub fn routes_by<'a>(
        &'a self,
        gateway: &'a Gateway,
        server: &'a GatewayServer,
    ) -> impl Iterator<Item = &'a Arc<TrafficRoute>> {
        let positions = self.routes_by_gateway.get(&gateway.name).into_iter().flatten();
        let rules = positions.filter_map(|position| self.contents.routes.get(*position));
        rules.filter(|rule| rule.attached.iter().any(|place| place.is_at(gateway, server)))
    }

    /// All gateways, by namespace and name.
    pub fn gateways(&self) -> &[Arc<Gateway>] {
        &self.contents.gateways
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

    /// The services one of whose endpoints has this address: those whose inbound requests
    /// its sidecar takes.
    pub fn services_at(&self, address: IpAddr) -> impl Iterator<Item = &Arc<Service>> {
        let positions = self.services_at.get(&address).into_iter().flatten();
        positions.filter_map(|position| self.contents.services.get(*position))
    }
}

fn order(name: &ServiceName) -> (&str, &str) {
    (&name.namespace, &name.name)
}

/// The positions of things by the keys of each; where two share one, the first counts.
fn index<K: std::hash::Hash + Eq>(
    things: impl Iterator<Item = impl IntoIterator<Item = K>>,
) -> HashMap<K, usize> {
    let mut index = HashMap::new();
    for (position, keys) in things.enumerate() {
        for key in keys {
            index.entry(key).or_insert(position);
        }
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
            addresses: Vec::new(),
            aliases: Vec::new(),
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
