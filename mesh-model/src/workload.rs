//! The pods, and who they are.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// Labels, ordered by key.
pub type Labels = BTreeMap<String, String>;

/// A pod that has an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The pod's name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// Its address.
    pub address: IpAddr,
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
}

impl Workload {
    /// Whether it has each of these labels.
    pub fn matches(&self, selector: &Labels) -> bool {
        selector.iter().all(|(key, value)| self.labels.get(key) == Some(value))
    }

    /// Who it is.
    pub fn identity(&self, trust_domain: &str) -> Identity {
        Identity {
            trust_domain: trust_domain.to_owned(),
            namespace: self.namespace.clone(),
            service_account: self.service_account.clone(),
        }
    }
}

/// A workload's name in certificates. `Display` gives the SPIFFE ID in Istio's form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    /// The domain within which it is unique, `cluster.local`.
    pub trust_domain: String,
    /// The namespace.
    pub namespace: String,
    /// The service account.
    pub service_account: String,
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { trust_domain, namespace, service_account } = self;
        write!(f, "spiffe://{trust_domain}/ns/{namespace}/sa/{service_account}")
    }
}
