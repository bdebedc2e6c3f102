//! The kinds that the chart is made of: a table instead of asking the API server.

use kube::api::DynamicObject;
use kube::core::GroupVersionKind;
use kube::discovery::ApiResource;
use kube::{Api, Client};
use serde_json::{Value, json};

pub(crate) struct Kind {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) plural: &'static str,
    pub(crate) is_namespaced: bool,
}

/// In the order in which they are applied; deleted is the other way round.
pub(crate) const KINDS: [Kind; 16] = [
    kind("", "v1", NAMESPACE, "namespaces", false),
    kind("apiextensions.k8s.io", "v1", DEFINITION, "customresourcedefinitions", false),
    // Made by a pilot, where the Gateway API is.
    kind("gateway.networking.k8s.io", "v1", "GatewayClass", "gatewayclasses", false),
    kind("", "v1", "ServiceAccount", "serviceaccounts", true),
    kind("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", false),
    kind("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", false),
    kind("rbac.authorization.k8s.io", "v1", "Role", "roles", true),
    kind("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", true),
    kind("", "v1", "ConfigMap", "configmaps", true),
    kind("", "v1", "Secret", "secrets", true),
    kind("coordination.k8s.io", "v1", "Lease", "leases", true),
    kind("", "v1", "Service", "services", true),
    kind("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", true),
    kind("apps", "v1", "Deployment", "deployments", true),
    kind("admissionregistration.k8s.io", "v1", MUTATING, "mutatingwebhookconfigurations", false),
    kind(
        "admissionregistration.k8s.io",
        "v1",
        VALIDATING,
        "validatingwebhookconfigurations",
        false,
    ),
];

pub(crate) const NAMESPACE: &str = "Namespace";
pub(crate) const DEFINITION: &str = "CustomResourceDefinition";
pub(crate) const MUTATING: &str = "MutatingWebhookConfiguration";
pub(crate) const VALIDATING: &str = "ValidatingWebhookConfiguration";

const fn kind(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    is_namespaced: bool,
) -> Kind {
    Kind { group, version, kind, plural, is_namespaced }
}

/// What users' pods with sidecars belong to, and is rolled out.
pub(crate) const WORKLOADS: [Kind; 3] = [
    kind("apps", "v1", "Deployment", "deployments", true),
    kind("apps", "v1", "StatefulSet", "statefulsets", true),
    kind("apps", "v1", "DaemonSet", "daemonsets", true),
];

/// What else makes pods by a template.
pub(crate) const REPLICA_SET: Kind = kind("apps", "v1", "ReplicaSet", "replicasets", true);
pub(crate) const JOB: Kind = kind("batch", "v1", "Job", "jobs", true);
pub(crate) const CRON_JOB: Kind = kind("batch", "v1", "CronJob", "cronjobs", true);

/// The kind of that name.
pub(crate) fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().chain(&WORKLOADS).find(|kind| kind.kind == name)
}

/// An object with all that it says, its kind included, which lists leave out.
pub(crate) fn value(kind: &Kind, object: &DynamicObject) -> Value {
    let mut value = object.data.clone();
    value["kind"] = json!(kind.kind);
    // Metadata has a form in JSON.
    value["metadata"] = serde_json::to_value(&object.metadata).unwrap_or_default();
    value
}

impl Kind {
    /// Of one namespace, where the kind has them, or of all.
    pub(crate) fn api(&self, client: &Client, namespace: Option<&str>) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk(self.group, self.version, self.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, self.plural);
        match namespace {
            Some(namespace) if self.is_namespaced => {
                Api::namespaced_with(client.clone(), namespace, &resource)
            }
            _ => Api::all_with(client.clone(), &resource),
        }
    }
}
