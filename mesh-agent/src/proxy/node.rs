//! Who the proxy says it is, in Istio's words.

use std::net::IpAddr;

use anyhow::{Context, ensure};
use mesh_tls::SpiffeId;
use serde_json::{Map, Value, json};

use super::WorkloadArgs;

/// What the proxy is for.
#[derive(Clone, Debug)]
pub enum Role {
    /// It is beside a workload.
    Sidecar {
        /// How inbound traffic gets to it: REDIRECT or TPROXY.
        interception_mode: String,
    },
    /// It is a gateway's, and nothing is redirected to it.
    Router,
}

/// The workload of which the proxy is.
#[derive(Clone, Debug)]
pub struct Node {
    /// What the proxy is for.
    pub role: Role,
    /// The pod's name.
    pub name: String,
    /// Its addresses, the first one being the one others use; never empty.
    pub addresses: Vec<IpAddr>,
    /// Its labels; the values are strings.
    pub labels: Map<String, Value>,
    /// Namespace, service account, trust domain.
    pub identity: SpiffeId,
    /// The DNS domain of the cluster's services.
    pub cluster_domain: String,
    /// The cluster that the pod is in.
    pub cluster_id: String,
    /// The mesh that the pod is in.
    pub mesh_id: String,
}

impl Node {
    /// From the arguments and the environment.
    pub fn new(args: &WorkloadArgs, role: Role) -> anyhow::Result<Self> {
        ensure!(
            !args.pod_name.is_empty(),
            "POD_NAME is empty: set it by the downward API, from metadata.name"
        );
        let identity =
            SpiffeId::new(&args.trust_domain, &args.pod_namespace, &args.service_account)
                .context("TRUST_DOMAIN, POD_NAMESPACE and SERVICE_ACCOUNT are not an identity")?;
        Ok(Self {
            role,
            name: args.pod_name.clone(),
            addresses: addresses(&args.instance_ip)?,
            labels: labels(&args.labels)?,
            identity,
            cluster_domain: args.cluster_domain.clone(),
            cluster_id: args.cluster_id.clone(),
            mesh_id: args.mesh_id.clone().unwrap_or_else(|| args.trust_domain.clone()),
        })
    }

    /// `sidecar~<address>~<pod>.<namespace>~<namespace>.svc.<domain>`, as Istio's; a gateway's
    /// begins with `router`.
    pub fn id(&self) -> String {
        let address = self.addresses.first().map(IpAddr::to_string).unwrap_or_default();
        let (name, namespace) = (&self.name, self.identity.namespace());
        let domain = &self.cluster_domain;
        let role = match &self.role {
            Role::Sidecar { .. } => "sidecar",
            Role::Router => "router",
        };
        format!("{role}~{address}~{name}.{namespace}~{namespace}.svc.{domain}")
    }

    /// `<app>.<namespace>`, as Istio's; the pod's name where it has no `app` label.
    pub fn cluster(&self) -> String {
        let app = self.labels.get("app").and_then(Value::as_str).unwrap_or(&self.name);
        format!("{app}.{}", self.identity.namespace())
    }

    /// Envoy's `node`, with Istio's keys in the metadata.
    pub fn to_json(&self) -> Value {
        let addresses: Vec<String> = self.addresses.iter().map(IpAddr::to_string).collect();
        let mut node = json!({
            "id": self.id(),
            "cluster": self.cluster(),
            "metadata": {
                "NAME": self.name,
                "NAMESPACE": self.identity.namespace(),
                "INSTANCE_IPS": addresses.join(","),
                "SERVICE_ACCOUNT": self.identity.service_account(),
                "LABELS": self.labels,
                "CLUSTER_ID": self.cluster_id,
                "MESH_ID": self.mesh_id,
                "MESH_VERSION": env!("CARGO_PKG_VERSION"),
            },
        });
        if let Role::Sidecar { interception_mode } = &self.role {
            node["metadata"]["INTERCEPTION_MODE"] = json!(interception_mode);
        }
        node
    }
}

fn addresses(text: &str) -> anyhow::Result<Vec<IpAddr>> {
    text.split(',')
        .map(|item| {
            item.trim().parse().with_context(|| {
                format!(
                    "INSTANCE_IP: {item:?} is not an IP address: set it by the downward API, \
                     from status.podIP"
                )
            })
        })
        .collect()
}

fn labels(text: &str) -> anyhow::Result<Map<String, Value>> {
    let labels: Map<String, Value> =
        serde_json::from_str(text).context("MESH_LABELS is not a JSON object")?;
    for (name, value) in &labels {
        ensure!(value.is_string(), "MESH_LABELS: {name} is {value}, expected a string");
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(labels_json: &str) -> anyhow::Result<Node> {
        let interception_mode = "REDIRECT".to_owned();
        Ok(Node {
            role: Role::Sidecar { interception_mode },
            name: "reviews-v1-0".to_owned(),
            addresses: addresses("10.244.0.4, fd00::4")?,
            labels: labels(labels_json)?,
            identity: SpiffeId::new("cluster.local", "default", "bookinfo-reviews")?,
            cluster_domain: "cluster.local".to_owned(),
            cluster_id: "local".to_owned(),
            mesh_id: "cluster.local".to_owned(),
        })
    }

    #[test]
    fn istios_names() {
        let node = node(r#"{"app": "reviews", "version": "v1"}"#).unwrap();
        assert_eq!(node.id(), "sidecar~10.244.0.4~reviews-v1-0.default~default.svc.cluster.local");
        assert_eq!(node.cluster(), "reviews.default");
        let metadata = &node.to_json()["metadata"];
        assert_eq!(metadata["INSTANCE_IPS"], "10.244.0.4,fd00::4");
        assert_eq!(metadata["LABELS"]["version"], "v1");
        assert_eq!(metadata["INTERCEPTION_MODE"], "REDIRECT");
    }

    #[test]
    fn a_gateways_is_a_router() {
        let gateway = Node { role: Role::Router, ..node("{}").unwrap() };
        assert_eq!(
            gateway.id(),
            "router~10.244.0.4~reviews-v1-0.default~default.svc.cluster.local"
        );
        assert!(gateway.to_json()["metadata"].get("INTERCEPTION_MODE").is_none());
    }

    #[test]
    fn bad_environment_is_named() {
        assert!(addresses("").unwrap_err().to_string().contains("INSTANCE_IP"));
        assert!(node("[]").unwrap_err().to_string().contains("MESH_LABELS"));
        assert!(node(r#"{"a": 1}"#).unwrap_err().to_string().contains("MESH_LABELS: a is 1"));
        assert_eq!(node("{}").unwrap().cluster(), "reviews-v1-0.default");
    }
}
