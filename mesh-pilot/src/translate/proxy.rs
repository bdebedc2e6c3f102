//! Which proxy asks.

use std::net::IpAddr;

use mesh_proto::envoy::config::core::v3::Node;

/// A sidecar, as its node id names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The whole node id.
    pub id: String,
    /// The pod's name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its address.
    pub address: IpAddr,
}

/// A node id that does not name a sidecar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("node.id \"{id}\": {reason}; expected sidecar~ADDRESS~POD.NAMESPACE~NAMESPACE.svc.DOMAIN")]
pub struct NodeError {
    id: String,
    reason: &'static str,
}

impl Proxy {
    /// Reads Istio's form of a node id, `sidecar~10.0.0.1~pod.namespace~domain`.
    pub fn from_node(node: &Node) -> Result<Self, NodeError> {
        let error = |reason| NodeError { id: node.id.clone(), reason };
        let mut parts = node.id.split('~');
        if parts.next() != Some("sidecar") {
            return Err(error("it does not begin with \"sidecar~\""));
        }
        let address = parts.next().and_then(|part| part.parse().ok());
        let address = address.ok_or_else(|| error("the second part is no IP address"))?;
        let name = parts.next().and_then(|part| part.rsplit_once('.'));
        let (pod, namespace) = name.ok_or_else(|| error("the third part is not POD.NAMESPACE"))?;
        if parts.next().is_none() || parts.next().is_some() {
            return Err(error("it has not four parts"));
        }
        Ok(Self {
            id: node.id.clone(),
            pod: pod.to_owned(),
            namespace: namespace.to_owned(),
            address,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str) -> Node {
        Node { id: id.to_owned(), ..Default::default() }
    }

    #[test]
    fn reads_the_four_parts() {
        let id = "sidecar~10.244.0.5~reviews-v1-0.default~default.svc.cluster.local";
        let proxy = Proxy::from_node(&node(id)).unwrap();
        assert_eq!(proxy.pod, "reviews-v1-0");
        assert_eq!(proxy.namespace, "default");
        assert_eq!(proxy.address.to_string(), "10.244.0.5");
    }

    #[test]
    fn says_what_a_node_id_lacks() {
        for (id, reason) in [
            ("", "begin with"),
            ("router~1.2.3.4~a.b~c", "begin with"),
            ("sidecar~here~a.b~c", "IP address"),
            ("sidecar~1.2.3.4~a~c", "POD.NAMESPACE"),
            ("sidecar~1.2.3.4~a.b", "four parts"),
            ("sidecar~1.2.3.4~a.b~c~d", "four parts"),
        ] {
            let error = Proxy::from_node(&node(id)).unwrap_err().to_string();
            assert!(error.contains(reason), "{id}: {error}");
        }
    }
}
