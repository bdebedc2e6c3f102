//! The definitions of the rules' kinds that are there already.

use futures_util::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use serde_json::Value;

use super::{Finding, Found, text};
use crate::PART_OF;
use crate::chart::Rendered;
use crate::kinds::DEFINITION;

const CHECK: &str = "kinds";

pub(super) async fn check(client: &Client, objects: &[Rendered]) -> Found {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let ours = objects.iter().map(|one| &one.object).filter(|one| one["kind"] == DEFINITION);
    let one = async |ours: &Value| {
        let theirs = api.get_opt(text(ours, "/metadata/name")).await?;
        Ok::<_, kube::Error>(theirs.and_then(|theirs| of_one(ours, &theirs)))
    };
    let findings = try_join_all(ours.map(one)).await?;
    let findings: Vec<_> = findings.into_iter().flatten().collect();
    Ok(match findings.is_empty() {
        true => vec![Finding::ok(CHECK, "nothing stands in the way of the rules' kinds")],
        false => findings,
    })
}

fn of_one(ours: &Value, theirs: &CustomResourceDefinition) -> Option<Finding> {
    let name = text(ours, "/metadata/name");
    let labels = theirs.metadata.labels.as_ref();
    let is_ours =
        labels.and_then(|labels| labels.get(PART_OF.0)).is_some_and(|value| value == PART_OF.1);
    let wanted: Vec<&str> = ours["spec"]["versions"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|version| text(version, "/name"))
        .collect();
    if is_ours {
        let stored = theirs.status.as_ref().and_then(|status| status.stored_versions.clone());
        let unknown: Vec<_> = stored
            .into_iter()
            .flatten()
            .filter(|version| !wanted.contains(&version.as_str()))
            .collect();
        return (!unknown.is_empty()).then(|| {
            Finding::error(
                CHECK,
                format!(
                    "{name} has rules of the version {}, which this meshctl does not know; use \
                     the one that installed it, or a later one",
                    unknown.join(", ")
                ),
            )
        });
    }
    let serves = |wanted: &&str| {
        theirs.spec.versions.iter().any(|version| version.served && version.name == **wanted)
    };
    // The first is the one that pilots ask for.
    let missing = wanted.first().filter(|wanted| !serves(wanted));
    Some(match missing {
        Some(missing) => Finding::error(
            CHECK,
            format!(
                "{name} is another mesh's and does not serve {missing}; bring that mesh's kinds \
                 up to date (Istio 1.22 or later has it), or take them away"
            ),
        ),
        None => Finding::warning(CHECK, format!("{name} is another mesh's; it is used as it is")),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::Level;

    fn level(labels: Value, versions: &[&str], stored: &[&str]) -> Option<Level> {
        let version = |name: &&str| json!({"name": name, "served": true, "storage": false});
        let versions: Vec<_> = versions.iter().map(version).collect();
        let ours = json!({
            "metadata": {"name": "a.b"},
            "spec": {"versions": [{"name": "v1"}, {"name": "v1beta1"}]},
        });
        let theirs = json!({
            "metadata": {"name": "a.b", "labels": labels},
            "spec": {"group": "b", "names": {"kind": "A", "plural": "a"}, "scope": "Namespaced",
                     "versions": versions},
            "status": {"storedVersions": stored},
        });
        of_one(&ours, &serde_json::from_value(theirs).unwrap()).map(|finding| finding.level)
    }

    #[test]
    fn a_definition_is_ours_usable_or_in_the_way() {
        let ours = json!({"app.kubernetes.io/part-of": "mesh"});
        assert_eq!(level(ours.clone(), &["v1"], &["v1"]), None);
        assert_eq!(level(ours, &["v2"], &["v1", "v2"]), Some(Level::Error));
        assert_eq!(level(json!({}), &["v1beta1", "v1"], &["v1"]), Some(Level::Warning));
        assert_eq!(level(json!({}), &["v1alpha3"], &["v1alpha3"]), Some(Level::Error));
    }
}
