//! Whether we may do what we are about to do.

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
const NOT_APPLIED: [&str; 2] = ["Secret", "Lease"];

pub(super) async fn check(client: &Client, namespace: &str) -> Found {
    let kinds = KINDS.iter().filter(|kind| !NOT_APPLIED.contains(&kind.kind));
    let asked = kinds.flat_map(|kind| VERBS.map(|verb| may(client, kind, verb, namespace)));
    let missing: Vec<_> = try_join_all(asked).await?.into_iter().flatten().collect();
    Ok(vec![match missing.is_empty() {
        true => Finding::ok(CHECK, "everything may be installed"),
        false => Finding::error(
            CHECK,
            format!(
                "you may not {}; ask a cluster's administrator for these rights, or to install \
                 it (`meshctl manifest generate` prints what that is)",
                missing.join(", ")
            ),
        ),
    }])
}

/// What is missing, if something is.
async fn may(
    client: &Client,
    kind: &Kind,
    verb: &str,
    namespace: &str,
) -> kube::Result<Option<String>> {
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
    let is_allowed = answer.status.is_some_and(|status| status.allowed);
    Ok((!is_allowed).then(|| format!("{verb} {}", kind.plural)))
}
