//! The kinds of rules as the API server serves them.

use kube::core::{ApiResource, GroupVersionKind};
use mesh_rules::RuleKind;

/// One for each version that we read, the best first. A kind that is not defined in the cluster
/// is waited for.
pub(super) fn resources(kind: &RuleKind) -> impl Iterator<Item = ApiResource> {
    kind.api_versions.iter().map(|api_version| {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        let named = GroupVersionKind::gvk(group, version, kind.kind);
        ApiResource::from_gvk_with_plural(&named, kind.plural)
    })
}
