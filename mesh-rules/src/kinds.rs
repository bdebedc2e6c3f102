//! The kinds of rules, as an API server names them.

use crate::gateway_api;
use crate::istio::{API_VERSIONS, SECURITY_API_VERSIONS};
use crate::rule::KUBERNETES_GATEWAY;

/// A kind of rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleKind {
    /// `VirtualService`.
    pub kind: &'static str,
    /// What rules' keys call it: another group has the same kind.
    pub key: &'static str,
    /// `virtualservices`.
    pub plural: &'static str,
    /// `group/version`: those that are read. An API server need not serve them all, nor any.
    pub api_versions: &'static [&'static str],
}

pub(crate) const DESTINATION_RULE: RuleKind =
    RuleKind::new("DestinationRule", "destinationrules", &API_VERSIONS);
pub(crate) const GATEWAY: RuleKind = RuleKind::new("Gateway", "gateways", &API_VERSIONS);
pub(crate) const PEER_AUTHENTICATION: RuleKind =
    RuleKind::new("PeerAuthentication", "peerauthentications", &SECURITY_API_VERSIONS);
pub(crate) const VIRTUAL_SERVICE: RuleKind =
    RuleKind::new("VirtualService", "virtualservices", &API_VERSIONS);

/// Every kind that [`rule`](crate::rule()) reads.
pub const KINDS: &[RuleKind] = &[
    DESTINATION_RULE,
    GATEWAY,
    RuleKind {
        key: KUBERNETES_GATEWAY,
        ..RuleKind::new("Gateway", "gateways", &gateway_api::API_VERSIONS)
    },
    RuleKind::new("HTTPRoute", "httproutes", &gateway_api::API_VERSIONS),
    PEER_AUTHENTICATION,
    RuleKind::new("ReferenceGrant", "referencegrants", &gateway_api::API_VERSIONS),
    VIRTUAL_SERVICE,
];

impl RuleKind {
    const fn new(
        kind: &'static str,
        plural: &'static str,
        api_versions: &'static [&'static str],
    ) -> Self {
        Self { kind, key: kind, plural, api_versions }
    }

    /// `networking.istio.io`.
    pub fn group(&self) -> &'static str {
        let first = self.api_versions.first().and_then(|version| version.split_once('/'));
        first.map_or("", |(group, _)| group)
    }

    /// `virtualservices.networking.istio.io`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.plural, self.group())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Surroundings, documents, rule};

    /// What is read of a kind in a version, as its problems' text.
    fn problems(api_version: &str, kind: &str) -> String {
        let text = format!(
            "{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: a}}, \
             spec: {{gatewayClassName: mesh, x: 1}}}}"
        );
        let document = documents("a.yaml", &text).unwrap().remove(0);
        let problems = rule(&document, Surroundings::default()).unwrap_err();
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_version_of_every_kind_is_one_that_is_read() {
        for kind in KINDS {
            for version in kind.api_versions {
                let problems = problems(version, kind.kind);
                assert!(problems.contains("a.yaml: spec."), "{version} {}: {problems}", kind.key);
            }
        }
        assert!(problems("networking.istio.io/v1", "Sidecar").contains("not supported"));
    }
}
