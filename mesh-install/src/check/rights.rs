//! Whether we may do what we are about to do.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use super::{Finding, Found};
use crate::kinds::{KINDS, Kind};

const CHECK: &str = "rights";

/// What an installation does to each kind.
const VERBS: [&str; 3] = ["get", "create", "patch"];
/// Pilots make these, we do not.
const NOT_APPLIED: [&str; 3] = ["Secret", "Lease", "GatewayClass"];

pub(super) async fn check(client: &Client, namespace: &str) -> Found {
    let kinds = KINDS.iter().filter(|kind| !NOT_APPLIED.contains(&kind.kind));
    let missing = try_join_all(kinds.map(|kind| missing(client, kind, namespace))).await?;
    Ok(vec![match said(&missing) {
        None => Finding::ok(CHECK, "everything may be installed"),
        Some(missing) => Finding::error(
            CHECK,
            format!(
                "you may not {missing}; ask a cluster's administrator for these rights, or to \
                 install it (`meshctl manifest generate` prints what that is; with --skip-crds where \
                 another mesh, such as Istio, has made the kinds of rules)"
            ),
        ),
    }])
}

/// `get, create, patch namespaces, deployments and create secrets`.
fn said(missing: &[(&'static str, Vec<&'static str>)]) -> Option<String> {
    let mut by_verbs: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (plural, verbs) in missing.iter().filter(|(_, verbs)| !verbs.is_empty()) {
        by_verbs.entry(verbs.join(", ")).or_default().push(plural);
    }
    let parts: Vec<_> =
        by_verbs.iter().map(|(verbs, plurals)| format!("{verbs} {}", plurals.join(", "))).collect();
    (!parts.is_empty()).then(|| parts.join(" and "))
}

async fn missing(
    client: &Client,
    kind: &Kind,
    namespace: &str,
) -> kube::Result<(&'static str, Vec<&'static str>)> {
    let answers = try_join_all(VERBS.map(|verb| may(client, kind, verb, namespace))).await?;
    let refused = VERBS.into_iter().zip(answers).filter(|(_, allowed)| !allowed);
    Ok((kind.plural, refused.map(|(verb, _)| verb).collect()))
}

async fn may(client: &Client, kind: &Kind, verb: &str, namespace: &str) -> kube::Result<bool> {
    let attributes = ResourceAttributes {
        group: Some(kind.group.to_owned()),
        resource: Some(kind.plural.to_owned()),
        verb: Some(verb.to_owned()),
        namespace: kind.is_namespaced.then(|| namespace.to_owned()),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let api: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = api.create(&PostParams::default(), &review).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_by_what_may_not_be_done() {
        let missing = [
            ("namespaces", vec!["create", "patch"]),
            ("services", vec![]),
            ("roles", vec!["patch"]),
            ("deployments", vec!["create", "patch"]),
        ];
        let text = "create, patch namespaces, deployments and patch roles";
        assert_eq!(said(&missing).as_deref(), Some(text));
        assert_eq!(said(&[("services", vec![])]), None);
    }
}
