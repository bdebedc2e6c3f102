//! The pods.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// Labels, ordered by key.
pub type Labels = BTreeMap<String, String>;

/// Where a machine stands, from wide to narrow; what is not known is empty.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Locality {
    /// Such as `eu-west-1`.
    pub region: String,
    /// Within the region: `eu-west-1a`.
    pub zone: String,
    /// Within the zone: a rack, a room.
    pub subzone: String,
}

/// A pod that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its address; of several, the first.
    pub address: IpAddr,
    /// The others: where the cluster has both families, one of the other family.
    pub other_addresses: Vec<IpAddr>,
    /// Its labels.
    pub labels: Labels,
    /// The service account it runs as.
    pub service_account: String,
    /// The machine it runs on; empty when unknown.
    pub node: String,
    /// The ports that its containers declare with a name.
    pub named_ports: BTreeMap<String, u16>,
    /// Whether it takes requests (the pod's condition `Ready`).
    pub ready: bool,
    /// Whether it is to end, and takes nothing new; what it has begun it may finish.
    pub leaving: bool,
}

impl Workload {
    /// All of its addresses, the first one first.
    pub fn addresses(&self) -> impl Iterator<Item = IpAddr> + '_ {
        std::iter::once(self.address).chain(self.other_addresses.iter().copied())
    }

    /// Its first address of IPv4, or of IPv6.
    pub fn address_of_family(&self, is_ipv4: bool) -> Option<IpAddr> {
        self.addresses().find(|address| address.is_ipv4() == is_ipv4)
    }

    /// Whether it has each of these labels.
    pub fn matches(&self, selector: &Labels) -> bool {
        has_labels(&self.labels, selector)
    }

    /// Whether its sidecar takes mutual TLS of the mesh: Istio's label, which injection adds
    /// and with which a user can say `disabled`.
    pub fn takes_mtls(&self) -> bool {
        self.labels.get("security.istio.io/tlsMode").is_some_and(|mode| mode == "istio")
    }
}

pub(crate) fn has_labels(labels: &Labels, selector: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
