//! `DestinationRule`: the type, and its meaning.

use std::collections::BTreeMap;

use mesh_model::ServiceName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::virtual_service::Port;
use super::{Findings, Resource, traffic_policy};
use crate::Problem;

/// Istio's `DestinationRule.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DestinationRuleSpec {
    /// A service, in the rule's namespace when it is a short name.
    #[serde(default)]
    pub host: String,
    /// For the whole service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_policy: Option<TrafficPolicy>,
    /// Its named parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subsets: Vec<Subset>,
    /// Only `*`, which is also the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_to: Vec<String>,
}

/// Istio's `TrafficPolicy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TrafficPolicy {
    /// Which endpoint a request goes to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// How connections are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// Whether they are encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// For some ports, instead of all of the above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub port_level_settings: Vec<PortTrafficPolicy>,
}

/// Istio's `PortTrafficPolicy`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortTrafficPolicy {
    /// A port of the service.
    pub port: Port,
    /// As in [`TrafficPolicy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_balancer: Option<LoadBalancer>,
    /// As in [`TrafficPolicy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_pool: Option<ConnectionPool>,
    /// As in [`TrafficPolicy`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
}

/// Istio's `LoadBalancerSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoadBalancer {
    /// `LEAST_REQUEST`, `ROUND_ROBIN`, `RANDOM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simple: Option<String>,
}

/// Istio's `ConnectionPoolSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectionPool {
    /// For TCP, and HTTP over it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp: Option<TcpPool>,
}

/// Istio's `TCPSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TcpPool {
    /// For a connection to be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<String>,
}

/// Istio's `ClientTLSSettings`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// `DISABLE`, which is also the default, `SIMPLE`, `MUTUAL`, `ISTIO_MUTUAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// For `MUTUAL`: the client's certificate chain, a file in its sidecar.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<String>,
    /// For `MUTUAL`: the key to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_key: Option<String>,
    /// The server's roots, a file in the client's sidecar; none, or `system`: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificates: Option<String>,
    /// What the server's certificate must be for, any of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subject_alt_names: Vec<String>,
    /// The name that the client asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
    /// The server's certificate is not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insecure_skip_verify: Option<bool>,
}

/// Istio's `Subset`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Subset {
    /// Unique within the rule.
    pub name: String,
    /// The labels that its pods have.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Over that of the service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_policy: Option<TrafficPolicy>,
}

/// With a `_` behind it, it is a label of the name that clients ask for by TLS, of at most 63.
const MAX_SUBSET_NAME: usize = 62;

/// What may stand in that name. Istio takes less: our own names are values of labels.
fn is_subset_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric();
    let parts = || name.split('.');
    name.len() <= MAX_SUBSET_NAME
        && parts().all(|part| part.starts_with(plain) && part.ends_with(plain))
        && name.chars().all(|c| plain(c) || matches!(c, '-' | '_' | '.'))
}

/// What a `DestinationRule` means, or all that is wrong with it by itself.
pub(crate) fn policy(
    source: &str,
    resource: &Resource<DestinationRuleSpec>,
    name: ServiceName,
    cluster_domain: &str,
) -> Result<mesh_model::TrafficPolicy, Vec<Problem>> {
    let spec = &resource.spec;
    let mut findings = Findings::new(source);
    if spec.host.is_empty() {
        findings.add("spec.host", "it is missing; name the service that the rule is for");
    }
    if spec.host.contains('*') {
        findings.add("spec.host", format!("\"{}\": wildcards are not supported yet", spec.host));
    }
    findings.exported(&spec.export_to);
    let (settings, ports) =
        traffic_policy::of(&mut findings, "spec.trafficPolicy", spec.traffic_policy.as_ref());

    let mut subsets: Vec<mesh_model::Subset> = Vec::with_capacity(spec.subsets.len());
    for (i, subset) in spec.subsets.iter().enumerate() {
        let path = format!("spec.subsets[{i}]");
        if !is_subset_name(&subset.name) {
            let message = format!(
                "\"{}\" is no name of a subset; expected letters, digits, \"-\", \"_\" and \".\", with \
                 a letter or digit at both ends, at most {MAX_SUBSET_NAME}",
                subset.name
            );
            findings.add(format!("{path}.name"), message);
        }
        if subsets.iter().any(|earlier| earlier.name == subset.name) {
            findings.add(format!("{path}.name"), format!("\"{}\" is there twice", subset.name));
        }
        let own = format!("{path}.trafficPolicy");
        let (settings, ports) =
            traffic_policy::of(&mut findings, &own, subset.traffic_policy.as_ref());
        subsets.push(mesh_model::Subset {
            name: subset.name.clone(),
            labels: subset.labels.clone(),
            settings,
            ports,
        });
    }
    let host = mesh_model::fqdn(&spec.host, &name.namespace, cluster_domain);
    findings.finish(mesh_model::TrafficPolicy { name, host, settings, ports, subsets })
}
