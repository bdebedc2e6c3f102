//! The kinds of rules that are watched.

use kube::core::{ApiResource, GroupVersionKind};
use mesh_rules::istio::{API_VERSIONS, SECURITY_API_VERSIONS};

/// A kind of rule, defined in the cluster by a CustomResourceDefinition. One that is not
/// defined is waited for.
#[derive(Debug)]
pub(super) struct RuleKind {
    pub(super) kind: &'static str,
    pub(super) plural: &'static str,
    /// `group/version`: those that are read. The first one that the cluster serves is
    /// watched.
    pub(super) api_versions: &'static [&'static str],
}

/// All of them.
pub(super) const RULE_KINDS: &[RuleKind] = &[
    RuleKind { kind: "DestinationRule", plural: "destinationrules", api_versions: &API_VERSIONS },
    RuleKind { kind: "Gateway", plural: "gateways", api_versions: &API_VERSIONS },
    RuleKind {
        kind: "PeerAuthentication",
        plural: "peerauthentications",
        api_versions: &SECURITY_API_VERSIONS,
    },
    RuleKind { kind: "VirtualService", plural: "virtualservices", api_versions: &API_VERSIONS },
];

impl RuleKind {
    /// One for each version.
    pub(super) fn resources(&self) -> impl Iterator<Item = ApiResource> {
        self.api_versions.iter().map(|api_version| {
            let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
            let kind = GroupVersionKind::gvk(group, version, self.kind);
            ApiResource::from_gvk_with_plural(&kind, self.plural)
        })
    }

    /// Whether its status has conditions of its own, and not of what it is attached to.
    pub(super) fn has_conditions(&self) -> bool {
        self.api_versions.iter().all(|version| version.contains(".istio.io/"))
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
