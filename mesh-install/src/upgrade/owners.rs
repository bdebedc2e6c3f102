//! Whose pods are whose.

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::DynamicObject;
use kube::{Client, ResourceExt};
use serde_json::Value;

use crate::kinds::{self, JOB, Kind, REPLICA_SET, WORKLOADS};
use crate::object::controller;
use crate::{ApplyError, ObjectName};

/// Who makes pods, and makes them anew.
pub(super) struct Owner {
    pub(super) name: ObjectName,
    /// As it is in the cluster; of kinds that Kubernetes does not have by itself it is not read.
    pub(super) object: Option<Value>,
}

/// Who has made a pod: what controls it, or the pod itself when nobody does.
pub(super) fn maker(pod: &Pod) -> ObjectName {
    let named = |kind: &str, name: String| ObjectName {
        kind: kind.to_owned(),
        namespace: pod.namespace(),
        name,
    };
    match controller(&pod.metadata) {
        Some(owner) => named(&owner.kind, owner.name.clone()),
        None => named("Pod", pod.name_any()),
    }
}

/// Who stands behind the maker of a pod: the Deployment of a ReplicaSet.
pub(super) async fn behind(client: &Client, maker: &ObjectName) -> Result<Owner, ApplyError> {
    let owner = read(client, maker).await?;
    let deployment = match &owner {
        (_, Some(found)) if maker.kind == REPLICA_SET.kind => controller(&found.metadata),
        _ => None,
    };
    let deployment = deployment.filter(|owner| WORKLOADS.iter().any(|one| one.kind == owner.kind));
    let (name, (kind, found)) = match deployment {
        Some(OwnerReference { kind, name, .. }) => {
            let name = ObjectName { kind: kind.clone(), name: name.clone(), ..maker.clone() };
            let found = read(client, &name).await?;
            (name, found)
        }
        None => (maker.clone(), owner),
    };
    let object = kind.zip(found).map(|(kind, found)| kinds::value(kind, &found));
    Ok(Owner { name, object })
}

type Read = (Option<&'static Kind>, Option<DynamicObject>);

async fn read(client: &Client, name: &ObjectName) -> Result<Read, ApplyError> {
    let mut known = WORKLOADS.iter().chain([&REPLICA_SET, &JOB]);
    let Some(kind) = known.find(|kind| kind.kind == name.kind) else { return Ok((None, None)) };
    let found = kind.api(client, name.namespace.as_deref()).get_opt(&name.name).await;
    Ok((Some(kind), found.map_err(|error| ApplyError::of(name.clone(), &error))?))
}
