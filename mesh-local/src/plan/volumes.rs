//! Volumes: `emptyDir`, shared by the containers of a pod.

use std::path::PathBuf;

use crate::manifest::{PodSpec, Volume};

/// A folder of the pod's own at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumePlan {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Every mount of the pod. The containers share one view of the files, so a path can lead
/// to one volume only.
pub(crate) fn all(spec: &PodSpec) -> Result<Vec<VolumePlan>, String> {
    let mut plans: Vec<VolumePlan> = Vec::new();
    for container in spec.init_containers.iter().chain(&spec.containers) {
        for mount in &container.volume_mounts {
            let plan =
                VolumePlan { name: mount.name.clone(), path: PathBuf::from(&mount.mount_path) };
            let at = format!("container {}: volumeMounts: {}", container.name, mount.name);
            let volume = spec.volumes.iter().find(|volume| volume.name == mount.name);
            check(&plan, volume.ok_or_else(|| format!("{at}: there is no such volume"))?)
                .map_err(|message| format!("{at}: {message}"))?;
            match plans.iter().find(|other| other.path == plan.path) {
                Some(other) if other.name != plan.name => {
                    return Err(format!(
                        "{at}: {} is volume {} in another container; on one machine the \
                         containers of a pod see the same files. Use another path",
                        plan.path.display(),
                        other.name
                    ));
                }
                Some(_) => {}
                None => plans.push(plan),
            }
        }
    }
    Ok(plans)
}

fn check(plan: &VolumePlan, volume: &Volume) -> Result<(), String> {
    if let Some(kind) = volume.source.keys().find(|kind| *kind != "emptyDir") {
        return Err(format!("a {kind} volume is not run on one machine; use emptyDir"));
    }
    if !plan.path.is_absolute() || plan.path.components().count() < 2 {
        return Err("mountPath: expected an absolute path below /".to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(volume: serde_json::Value, path: &str) -> Result<Vec<VolumePlan>, String> {
        let mount = json!([{"name": "data", "mountPath": path}]);
        let containers = json!([
            {"name": "a", "volumeMounts": mount},
            {"name": "b", "volumeMounts": mount},
        ]);
        let spec = json!({"volumes": [volume], "containers": containers});
        all(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn containers_share_a_volume() {
        let plans = plan(json!({"name": "data", "emptyDir": {}}), "/etc/mesh/proxy").unwrap();
        assert_eq!(plans.len(), 1);
        assert_eq!(plans[0].path, PathBuf::from("/etc/mesh/proxy"));
    }

    #[test]
    fn what_is_not_run_is_named() {
        let error = plan(json!({"name": "data", "configMap": {"name": "x"}}), "/x").unwrap_err();
        assert!(error.contains("container a: volumeMounts: data: a configMap volume"), "{error}");
        assert!(plan(json!({"name": "data", "emptyDir": {}}), "/").is_err());
        assert!(plan(json!({"name": "other", "emptyDir": {}}), "/x").is_err());
    }
}
