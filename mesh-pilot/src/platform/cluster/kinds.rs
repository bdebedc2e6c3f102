//! The kinds of rules that are watched.

use kube::core::{ApiResource, GroupVersionKind};
use mesh_rules::istio::{API_VERSIONS, SECURITY_API_VERSIONS};
use mesh_rules::{KUBERNETES_GATEWAY, gateway_api};

/// A kind of rule, defined in the cluster by a CustomResourceDefinition. One that is not
/// defined is waited for.
#[derive(Debug)]
pub(super) struct RuleKind {
    pub(super) kind: &'static str,
    /// What rules' keys call it: another group has the same kind.
    pub(super) key: &'static str,
    pub(super) plural: &'static str,
    /// `group/version`: those that are read. The first one that the cluster serves is
    /// watched.
    pub(super) api_versions: &'static [&'static str],
}

/// All of them.
pub(super) const RULE_KINDS: &[RuleKind] = &[
    RuleKind::new("DestinationRule", "destinationrules", &API_VERSIONS),
    RuleKind::new("Gateway", "gateways", &API_VERSIONS),
    RuleKind {
        key: KUBERNETES_GATEWAY,
        ..RuleKind::new("Gateway", "gateways", &gateway_api::API_VERSIONS)
    },
    RuleKind::new("HTTPRoute", "httproutes", &gateway_api::API_VERSIONS),
    RuleKind::new("PeerAuthentication", "peerauthentications", &SECURITY_API_VERSIONS),
    RuleKind::new("ReferenceGrant", "referencegrants", &gateway_api::API_VERSIONS),
    RuleKind::new("VirtualService", "virtualservices", &API_VERSIONS),
];

impl RuleKind {
    const fn new(
        kind: &'static str,
        plural: &'static str,
        api_versions: &'static [&'static str],
    ) -> Self {
        Self { kind, key: kind, plural, api_versions }
    }

    /// One for each version.
    pub(super) fn resources(&self) -> impl Iterator<Item = ApiResource> {
        self.api_versions.iter().map(|api_version| {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let kind = GroupVersionKind::gvk(group, version, self.kind);
            ApiResource::from_gvk_with_plural(&kind, self.plural)
        })
    }

    /// `virtualservices.networking.istio.io`.
    pub(super) fn name(&self) -> String {
        let group = self.api_versions.first().and_then(|version| version.split('/').next());
        format!("{}.{}", self.plural, group.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_that_is_defined_is_watched() {
        let watched: Vec<_> = RULE_KINDS.iter().map(RuleKind::name).collect();
        for (name, _) in mesh_rules::crd::definitions() {
            assert!(watched.contains(&name), "{name}: {watched:?}");
        }
    }
}
