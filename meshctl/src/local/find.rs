//! The pod that a user means.

use anyhow::{Result, bail};
use mesh_local::{PodStatus, Report};

/// By its full name, `deployment/NAME` (or `deploy/NAME`), or a beginning that only one pod
/// or only one deployment's pods have. Of several pods of a deployment, the first ready one.
pub(crate) fn pod<'a>(report: &'a Report, namespace: &str, wanted: &str) -> Result<&'a PodStatus> {
    let pods: Vec<_> = report.pods.iter().filter(|pod| pod.namespace == namespace).collect();
    let deployment = wanted.strip_prefix("deployment/").or(wanted.strip_prefix("deploy/"));
    let found: Vec<_> = match deployment {
        Some(name) => pods.iter().filter(|pod| pod.deployment.as_deref() == Some(name)).collect(),
        None => match pods.iter().find(|pod| pod.name == wanted) {
            Some(pod) => return Ok(pod),
            None => pods.iter().filter(|pod| pod.name.starts_with(wanted)).collect(),
        },
    };
    let Some(first) = found.first() else {
        bail!("there is no pod {wanted:?} in namespace {namespace}; there are: {}", names(&pods));
    };
    let same_deployment =
        first.deployment.is_some() && found.iter().all(|pod| pod.deployment == first.deployment);
    if found.len() > 1 && !same_deployment {
        let found: Vec<_> = found.into_iter().copied().collect();
        bail!("{wanted:?} could be any of {}; type more of the name", names(&found));
    }
    Ok(found.iter().find(|pod| pod.ready).unwrap_or(first))
}

fn names(pods: &[&PodStatus]) -> String {
    pods.iter().map(|pod| pod.name.as_str()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let pod = |deployment: &str, number: u32| {
            serde_json::json!({
                "namespace": "default", "name": format!("{deployment}-0abcd-{number}"),
                "deployment": deployment, "address": "10.244.0.2", "phase": "running",
                "ready": number == 1, "message": null, "started_unix_ms": 0, "sandbox_pid": 1,
                "containers": [{"name": "app", "init": false, "application": true, "state": "waiting",
                    "ready": number == 1, "restarts": 0, "last_end": null}],
            })
        };
        let pods = [pod("reviews-v1", 0), pod("reviews-v1", 1), pod("reviews-v2", 0)];
        serde_json::from_value(serde_json::json!({"pid": 1, "pods": pods, "published": []}))
            .unwrap()
    }

    #[test]
    fn a_beginning_must_lead_to_one_deployment() {
        let report = report();
        let name = |wanted: &str| pod(&report, "default", wanted).map(|pod| pod.name.clone());
        assert_eq!(name("reviews-v1").unwrap(), "reviews-v1-0abcd-1");
        assert_eq!(name("reviews-v1-0abcd-0").unwrap(), "reviews-v1-0abcd-0");
        assert_eq!(name("deployment/reviews-v2").unwrap(), "reviews-v2-0abcd-0");
        assert!(name("reviews").unwrap_err().to_string().contains("could be any of"));
        assert!(name("web").unwrap_err().to_string().contains("there are: reviews-v1"));
        assert!(pod(&report, "shop", "reviews-v1").is_err());
    }
}
