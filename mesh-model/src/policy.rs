//! How a service's endpoints are used.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::{Labels, ServiceName};

/// How clients treat a service: Istio's `DestinationRule`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrafficPolicy {
    /// The rule it was made from.
    pub name: ServiceName,
    /// The fully qualified name of the service.
    pub host: String,
    /// For the whole service, and for subsets that do not say.
    pub settings: Settings,
    /// For some of its ports, instead of all of `settings`.
    pub ports: BTreeMap<u16, Settings>,
    /// Its named parts, in the order in which they are declared.
    pub subsets: Vec<Subset>,
}

impl TrafficPolicy {
    /// The subset of this name.
    pub fn subset(&self, name: &str) -> Option<&Subset> {
        self.subsets.iter().find(|subset| subset.name == name)
    }

    /// What is in force for a port of the service, or of one of its subsets. Istio's order: a
    /// port's settings stand alone; a subset's go before those of the whole one by one.
    pub fn settings(&self, subset: Option<&Subset>, port: u16) -> Settings {
        let whole = self.ports.get(&port).unwrap_or(&self.settings);
        let Some(subset) = subset else { return whole.clone() };
        let own = subset.ports.get(&port).cloned();
        own.unwrap_or_else(|| subset.settings.clone().or(whole))
    }
}

/// A named part of a service's endpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subset {
    /// Unique within its policy.
    pub name: String,
    /// The labels that its pods have.
    pub labels: Labels,
    /// What is `None` is the policy's.
    pub settings: Settings,
    /// For some of the service's ports, instead of all of `settings`.
    pub ports: BTreeMap<u16, Settings>,
}

/// How connections are made, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `None`: the mesh's default.
    pub load_balancing: Option<LoadBalancing>,
    /// For a TCP connection to be made; `None`: the mesh's default.
    pub connect_timeout: Option<Duration>,
    /// `None`: mutual TLS of the mesh with the endpoints that take it.
    pub tls: Option<ClientTls>,
}

impl Settings {
    /// What it does not say, `wider` says.
    fn or(self, wider: &Self) -> Self {
        Self {
            load_balancing: self.load_balancing.or(wider.load_balancing),
            connect_timeout: self.connect_timeout.or(wider.connect_timeout),
            tls: self.tls.or_else(|| wider.tls.clone()),
        }
    }
}

/// How clients encrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientTls {
    /// Not at all.
    Disable,
    /// Mutual TLS of the mesh, whether the endpoints take it or not (`ISTIO_MUTUAL`).
    Mesh {
        /// `None`: the name that says service, port and subset.
        sni: Option<String>,
        /// What the server may be, any of them; empty: the service's accounts.
        subject_alt_names: Vec<String>,
    },
    /// TLS of the user's own (`SIMPLE`, `MUTUAL`).
    Own(OwnTls),
}

/// TLS with what the user names. Files are those of the client's sidecar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTls {
    /// `None`: the request's host.
    pub sni: Option<String>,
    /// How the server's certificate is checked.
    pub check: ServerCheck,
    /// The client's own certificate chain and key, when it shows one.
    pub certificate: Option<(String, String)>,
}

/// What a server's certificate must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerCheck {
    /// Any (`insecureSkipVerify`).
    Nothing,
    /// Signed by one of these roots, for one of these names.
    Signed {
        /// A file of roots; `None`: those of the system.
        roots: Option<String>,
        /// Empty: the name that is called.
        subject_alt_names: Vec<String>,
    },
}

/// Which endpoint a request goes to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LoadBalancing {
    /// The less busy one of two taken by chance. Istio's default, and ours.
    #[default]
    LeastRequest,
    /// Each in turn.
    RoundRobin,
    /// Any.
    Random,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn balanced(load_balancing: LoadBalancing) -> Settings {
        Settings { load_balancing: Some(load_balancing), ..Default::default() }
    }

    #[test]
    fn a_ports_settings_stand_alone_and_a_subsets_fill_up() {
        let whole = Settings { tls: Some(ClientTls::Disable), ..balanced(LoadBalancing::Random) };
        let subset = Subset {
            name: "v1".into(),
            labels: Labels::new(),
            settings: balanced(LoadBalancing::RoundRobin),
            ports: BTreeMap::from([(81, Settings::default())]),
        };
        let policy = TrafficPolicy {
            name: ServiceName { name: "a".into(), namespace: "n".into() },
            host: "a.n.svc.cluster.local".into(),
            settings: whole.clone(),
            ports: BTreeMap::from([(82, balanced(LoadBalancing::LeastRequest))]),
            subsets: vec![subset.clone()],
        };
        assert_eq!(policy.settings(None, 80), whole);
        assert_eq!(policy.settings(None, 82).tls, None, "not the whole's");
        let filled = Settings { tls: Some(ClientTls::Disable), ..subset.settings.clone() };
        assert_eq!(policy.settings(Some(&subset), 80), filled);
        assert_eq!(policy.settings(Some(&subset), 81), Settings::default());
        assert_eq!(policy.settings(Some(&subset), 82), subset.settings);
    }
}
