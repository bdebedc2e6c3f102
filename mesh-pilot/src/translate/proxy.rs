//! Which proxy asks.

use std::net::IpAddr;

use mesh_model::{InboundMtls, Labels, Snapshot};
use mesh_proto::envoy::config::core::v3::Node;
use prost_types::Value;
use prost_types::value::Kind;

use super::Families;

/// What a proxy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It is beside one workload, and sees all that this sends and is sent.
    Sidecar,
    /// It stands at the edge of the mesh: the proxy of a gateway.
    Router,
}

/// A proxy, as its node id names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    /// The whole node id.
    pub id: String,
    /// What it is for.
    pub role: Role,
    /// The pod's name.
    pub pod: String,
    /// Its namespace.
    pub namespace: String,
    /// Its address.
    pub address: IpAddr,
    /// Of which families its pod has addresses: this one, and those of Istio's `INSTANCE_IPS`.
    pub families: Families,
    /// The pod's labels, as it says itself; the platform's count where it knows the pod.
    pub labels: Labels,
    /// Whether TPROXY brings it what others send (Istio's `INTERCEPTION_MODE`).
    pub tproxy: bool,
}

/// A node id that does not name a proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "node.id \"{id}\": {reason}; expected sidecar~ADDRESS~POD.NAMESPACE~NAMESPACE.svc.DOMAIN, or \
     router for a gateway's"
)]
pub struct NodeError {
    id: String,
    reason: &'static str,
}

impl Proxy {
    /// Reads Istio's form of a node id, `sidecar~10.0.0.1~pod.namespace~domain`.
    pub fn from_node(node: &Node) -> Result<Self, NodeError> {
        let error = |reason| NodeError { id: node.id.clone(), reason };
        let mut parts = node.id.split('~');
        let role = match parts.next() {
            Some("sidecar") => Role::Sidecar,
            Some("router") => Role::Router,
            _ => return Err(error("it does not begin with \"sidecar~\" or \"router~\"")),
        };
        let address = parts.next().and_then(|part| part.parse().ok());
        let address = address.ok_or_else(|| error("the second part is no IP address"))?;
        let name = parts.next().and_then(|part| part.rsplit_once('.'));
        let (pod, namespace) = name.ok_or_else(|| error("the third part is not POD.NAMESPACE"))?;
        if parts.next().is_none() || parts.next().is_some() {
            return Err(error("it has not four parts"));
        }
        Ok(Self {
            id: node.id.clone(),
            role,
            pod: pod.to_owned(),
            namespace: namespace.to_owned(),
            address,
            families: families(node, address),
            labels: labels(node),
            tproxy: tproxy(node),
        })
    }

    /// Which connections the pod takes.
    pub(super) fn inbound_mtls(&self, snapshot: &Snapshot) -> InboundMtls {
        snapshot.inbound_mtls(&self.namespace, self.labels_in(snapshot))
    }

    /// The pod's labels. Before the platform knows the pod, and when it is on its way out and
    /// no more there, as the proxy says.
    pub(super) fn labels_in<'a>(&'a self, snapshot: &'a Snapshot) -> &'a Labels {
        let pod = snapshot.workload_at(self.address);
        let pod = pod.filter(|pod| pod.name == self.pod && pod.namespace == self.namespace);
        pod.map_or(&self.labels, |pod| &pod.labels)
    }
}

fn tproxy(node: &Node) -> bool {
    text(node, "INTERCEPTION_MODE") == Some("TPROXY")
}

/// What is no address in `INSTANCE_IPS` says nothing.
fn families(node: &Node, address: IpAddr) -> Families {
    let others = text(node, "INSTANCE_IPS").unwrap_or_default().split(',');
    Families::of(others.filter_map(|other| other.trim().parse().ok()).chain([address]))
}

/// A text of the node's metadata.
fn text<'a>(node: &'a Node, key: &str) -> Option<&'a str> {
    match &node.metadata.as_ref()?.fields.get(key)?.kind {
        Some(Kind::StringValue(text)) => Some(text),
        _ => None,
    }
}

/// Istio's `LABELS` in the node's metadata.
fn labels(node: &Node) -> Labels {
    let metadata = node.metadata.as_ref().and_then(|metadata| metadata.fields.get("LABELS"));
    let labels = match metadata.and_then(|labels| labels.kind.as_ref()) {
        Some(Kind::StructValue(labels)) => labels.fields.iter(),
        _ => return Labels::new(),
    };
    let text = |value: &Value| match &value.kind {
        Some(Kind::StringValue(text)) => Some(text.clone()),
        _ => None,
    };
    labels.filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
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
        let value = |kind| Value { kind: Some(kind) };
        let fields = [
            ("app".to_owned(), value(Kind::StringValue("reviews".to_owned()))),
            ("odd".to_owned(), value(Kind::BoolValue(true))),
        ];
        let labels = value(Kind::StructValue(prost_types::Struct { fields: fields.into() }));
        let tproxy = value(Kind::StringValue("TPROXY".to_owned()));
        let fields = [("LABELS".to_owned(), labels), ("INTERCEPTION_MODE".to_owned(), tproxy)];
        let metadata = prost_types::Struct { fields: fields.into() };
        let node = Node { metadata: Some(metadata), ..node(id) };
        let proxy = Proxy::from_node(&node).unwrap();
        assert_eq!(proxy.labels, Labels::from([("app".to_owned(), "reviews".to_owned())]));
        assert!(proxy.tproxy);
        assert_eq!((proxy.role, proxy.pod.as_str()), (Role::Sidecar, "reviews-v1-0"));
        assert_eq!(proxy.namespace, "default");
        assert_eq!(proxy.address.to_string(), "10.244.0.5");
    }

    #[test]
    fn listens_on_the_families_of_the_pods_addresses() {
        for (own, instance, expected) in [
            ("10.0.0.1", "", Families::V4),
            ("10.0.0.1", "10.0.0.1", Families::V4),
            ("10.0.0.1", "10.0.0.1,fd00::1", Families::Both),
            ("fd00::1", "fd00::1, 10.0.0.1", Families::Both),
            ("fd00::1", "fd00::1,nonsense", Families::V6),
        ] {
            let kind = Some(Kind::StringValue(instance.to_owned()));
            let fields = [("INSTANCE_IPS".to_owned(), Value { kind })].into();
            let metadata = Some(prost_types::Struct { fields });
            let node = Node { metadata, ..node(&format!("sidecar~{own}~a.b~c")) };
            assert_eq!(Proxy::from_node(&node).unwrap().families, expected, "{own} {instance}");
        }
    }

    #[test]
    fn says_what_a_node_id_lacks() {
        for (id, reason) in [
            ("", "begin with"),
            ("waypoint~1.2.3.4~a.b~c", "begin with"),
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
