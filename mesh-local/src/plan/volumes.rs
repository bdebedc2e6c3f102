//! Volumes, shared by the containers of a pod: `emptyDir`, and what proves to the control
//! plane who the pod is.

use std::path::{Path, PathBuf};

use mesh_inject::ROOTS_VOLUME;
use serde_json::Value;

use crate::manifest::{PodSpec, Volume, VolumeMount};

/// A folder at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VolumePlan {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) kind: VolumeKind,
}

/// What is in the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VolumeKind {
    /// Nothing; the pod's own.
    Empty,
    /// A join token, in the place of a service account's, in a file for one user.
    Token { file: String, user: u32 },
    /// The certificates of the mesh's roots.
    Roots,
}

/// Every mount of the pod. The containers share one view of the files, so a path can lead
/// to one volume only.
///
/// `default_user` runs the containers that do not ask for a user.
pub(crate) fn all(spec: &PodSpec, default_user: u32) -> Result<Vec<VolumePlan>, String> {
    let mut plans: Vec<VolumePlan> = Vec::new();
    for container in spec.init_containers.iter().chain(&spec.containers) {
        let (own, pod) = (&container.security_context, &spec.security_context);
        let user = own.run_as_user.or(pod.run_as_user).unwrap_or(default_user);
        for mount in &container.volume_mounts {
            let at = format!("container {}: volumeMounts: {}", container.name, mount.name);
            let volume = spec.volumes.iter().find(|volume| volume.name == mount.name);
            let volume = volume.ok_or_else(|| format!("{at}: there is no such volume"))?;
            let plan = plan(mount, volume, user).map_err(|message| format!("{at}: {message}"))?;
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

fn plan(mount: &VolumeMount, volume: &Volume, user: u32) -> Result<VolumePlan, String> {
    let path = PathBuf::from(&mount.mount_path);
    if !path.is_absolute() || path.components().count() < 2 {
        return Err("mountPath: expected an absolute path below /".to_owned());
    }
    Ok(VolumePlan { name: mount.name.clone(), path, kind: kind(volume, user)? })
}

fn kind(volume: &Volume, user: u32) -> Result<VolumeKind, String> {
    for (source, value) in &volume.source {
        match source.as_str() {
            "emptyDir" => {}
            "configMap" if value["name"] == ROOTS_VOLUME => return Ok(VolumeKind::Roots),
            "projected" => return Ok(VolumeKind::Token { file: token_file(value)?, user }),
            _ => {
                return Err(format!("a {source} volume is not run on one machine; use emptyDir"));
            }
        }
    }
    Ok(VolumeKind::Empty)
}

fn token_file(projected: &Value) -> Result<String, String> {
    let refused = "of projected volumes, only one with a serviceAccountToken alone is run on one \
                   machine";
    let [source] = projected["sources"].as_array().map_or(&[][..], Vec::as_slice) else {
        return Err(refused.to_owned());
    };
    let path = source["serviceAccountToken"]["path"].as_str().ok_or(refused)?;
    match Path::new(path).file_name().is_some_and(|name| name == path) {
        true => Ok(path.to_owned()),
        false => Err(format!("serviceAccountToken.path: {path:?}: expected the name of a file")),
    }
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
        all(&serde_json::from_value(spec).unwrap(), 65532)
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

    #[test]
    fn the_volumes_of_a_sidecars_identity() {
        let token = |path: &str| {
            let source = json!({"serviceAccountToken": {"path": path, "audience": "istio-ca"}});
            plan(json!({"name": "data", "projected": {"sources": [source]}}), "/var/run/x")
        };
        let kind = VolumeKind::Token { file: "istio-token".to_owned(), user: 65532 };
        assert_eq!(token("istio-token").unwrap()[0].kind, kind);
        assert!(token("../istio-token").unwrap_err().contains("the name of a file"));
        assert!(token("..").unwrap_err().contains("the name of a file"));
        let roots = json!({"name": "data", "configMap": {"name": "mesh-ca-root-cert"}});
        assert_eq!(plan(roots, "/x").unwrap()[0].kind, VolumeKind::Roots);
        let both = json!([{"serviceAccountToken": {"path": "a"}}, {"configMap": {"name": "x"}}]);
        let error = plan(json!({"name": "data", "projected": {"sources": both}}), "/x");
        assert!(error.unwrap_err().contains("serviceAccountToken alone"));
    }
}
