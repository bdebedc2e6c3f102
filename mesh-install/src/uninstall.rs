//! The mesh, off a cluster.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::try_join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, DynamicObject, ListParams};
use kube::{Api, Client};

use crate::apply::ApplyError;
use crate::kinds::{self, KINDS, Kind};
use crate::revisions::Revisions;
use crate::upgrade::{self, Says};
use crate::wait::{Patience, Target, WaitError, until_ready};
use crate::{Event, Events, ObjectName, PART_OF, REVISION_LABEL, names};

/// How much is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// What belongs to a revision.
    Revision(String),
    /// Every revision; the kinds of rules with all rules, the roots and the namespace stay.
    Mesh,
    /// Everything.
    Purge,
}

/// What would go.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order in which it goes.
    pub objects: Vec<ObjectName>,
    /// Namespaces whose pods have sidecars of it.
    pub in_use: Vec<String>,
    /// Workloads in whose manifests such sidecars are written.
    pub written: Vec<ObjectName>,
    /// Namespaces that ask for it by its name: their new pods would get no sidecar.
    pub asking: Vec<String>,
    /// How many rules go with their kinds.
    pub rules: usize,
}

/// Why not everything is gone. It can be tried again.
#[derive(Debug, thiserror::Error)]
pub enum UninstallError {
    /// The API server did not let us look, or delete.
    #[error(transparent)]
    Refused(#[from] ApplyError),
    /// Something takes its time.
    #[error("{0}; it is on its way, and the same command waits again")]
    Wait(#[from] WaitError),
}

/// Looks for what a scope means.
///
/// # Errors
/// When the API server does not say.
pub async fn find(
    client: &Client,
    namespace: &str,
    scope: &Scope,
) -> Result<Found, UninstallError> {
    let mut found = Found {
        in_use: in_use(client, scope).await?,
        written: written(client, scope).await?,
        asking: asking(client, namespace, scope).await?,
        ..Found::default()
    };
    // Webhooks first: what they would refuse later is not refused any more.
    for kind in KINDS.iter().rev() {
        if matches!(kind.kind, kinds::NAMESPACE | kinds::DEFINITION) && *scope != Scope::Purge {
            continue;
        }
        let labelled = list(client, kind, &selector(scope)).await?;
        if kind.kind == kinds::DEFINITION {
            for definition in &labelled {
                found.rules += count_rules(client, definition).await?;
            }
        }
        // Who comes back finds the root, and those who trust it, as they were.
        let stays = |object: &ObjectName| {
            *scope != Scope::Purge && [names::CA_SECRET, names::ROOTS].contains(&&*object.name)
        };
        let names = labelled.iter().map(|object| name(kind, object));
        found.objects.extend(names.filter(|object| !stays(object)));
    }
    // The pilots' own, which have no label that tells a revision.
    let by_name = |kind: &str, name: String, namespace: &str| ObjectName {
        kind: kind.to_owned(),
        namespace: Some(namespace.to_owned()),
        name,
    };
    let mut made = Vec::new();
    match scope {
        Scope::Revision(revision) => {
            made.push(by_name("Lease", names::lease(revision), namespace));
        }
        Scope::Mesh | Scope::Purge => {
            for lease in list_in(client, "Lease", namespace).await? {
                let is_ours = |name: &String| {
                    let of_pilots =
                        name.starts_with(names::PILOT) && name.ends_with(names::LEASE_END);
                    of_pilots || name == names::CA_LEASE
                };
                made.extend(
                    lease
                        .metadata
                        .name
                        .filter(is_ours)
                        .map(|name| by_name("Lease", name, namespace)),
                );
            }
        }
    }
    if *scope == Scope::Purge {
        made.push(by_name("Secret", names::CA_SECRET.to_owned(), namespace));
        made.extend(roots(client).await?);
    }
    let at = found
        .objects
        .iter()
        .position(|object| matches!(&*object.kind, kinds::DEFINITION | kinds::NAMESPACE));
    let at = at.unwrap_or(found.objects.len());
    found.objects.splice(at..at, existing(client, made).await?);
    let mut seen = BTreeSet::new();
    found.objects.retain(|object| seen.insert(object.clone()));
    Ok(found)
}

/// Deletes what was found, and waits until it is gone. What is gone already is no error.
///
/// # Errors
/// When the API server refuses, or something is not gone in time.
pub async fn uninstall(
    client: &Client,
    found: &Found,
    timeout: Duration,
    events: &Events,
) -> Result<(), UninstallError> {
    let patience = Patience::new(timeout, timeout);
    // What a pilot that still runs would make again comes after the pilots.
    let is_pilot = |object: &ObjectName| object.kind == "Deployment";
    let with_roots = found.objects.iter().any(|object| object.name == names::ROOTS);
    let mut now = found.objects.clone();
    while let Some(first) = now.first().map(is_pilot) {
        let end = now.iter().position(|object| is_pilot(object) != first);
        let mut later = now.split_off(end.unwrap_or(now.len()));
        try_join_all(now.iter().map(|object| delete(client, object, events))).await?;
        let gone = now.into_iter().map(Target::Gone).collect();
        until_ready(client, gone, patience, events).await?;
        if first && with_roots {
            // Published meanwhile, in namespaces that were made meanwhile.
            let mut late = roots(client).await?;
            late.retain(|object| !later.contains(object));
            later.splice(..0, late);
        }
        now = later;
    }
    Ok(())
}

async fn delete(client: &Client, object: &ObjectName, events: &Events) -> Result<(), ApplyError> {
    let Some(kind) = kinds::find(&object.kind) else { return Ok(()) };
    let api = kind.api(client, object.namespace.as_deref());
    // A deployment goes when its pods have gone.
    let how = match kind.kind {
        "Deployment" => DeleteParams::foreground(),
        _ => DeleteParams::background(),
    };
    match api.delete(&object.name, &how).await {
        Ok(_) => events.tell(Event::Deleted(object.clone())),
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(ApplyError::of(object.clone(), &error)),
    }
    Ok(())
}

fn selector(scope: &Scope) -> String {
    let ours = format!("{}={}", PART_OF.0, PART_OF.1);
    match scope {
        Scope::Revision(revision) => format!("{ours},{REVISION_LABEL}={revision}"),
        Scope::Mesh | Scope::Purge => ours,
    }
}

/// Nothing when the API server does not know the kind.
async fn list(
    client: &Client,
    kind: &Kind,
    selector: &str,
) -> Result<Vec<DynamicObject>, ApplyError> {
    let parameters = ListParams::default().labels(selector);
    match kind.api(client, None).list(&parameters).await {
        Ok(list) => Ok(list.items),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(Vec::new()),
        Err(error) => Err(ApplyError::of(ObjectName::all(kind.kind), &error)),
    }
}

async fn list_in(
    client: &Client,
    kind: &str,
    namespace: &str,
) -> Result<Vec<DynamicObject>, ApplyError> {
    let Some(kind) = kinds::find(kind) else { return Ok(Vec::new()) };
    let listed = kind.api(client, Some(namespace)).list(&ListParams::default()).await;
    listed.map(|list| list.items).map_err(|error| {
        let namespace = Some(namespace.to_owned());
        ApplyError::of(ObjectName { namespace, ..ObjectName::all(kind.kind) }, &error)
    })
}

/// The roots as the pilots have published them, in every namespace.
async fn roots(client: &Client) -> Result<Vec<ObjectName>, ApplyError> {
    let Some(kind) = kinds::find("ConfigMap") else { return Ok(Vec::new()) };
    let parameters = ListParams::default().fields(&format!("metadata.name={}", names::ROOTS));
    let listed = kind.api(client, None).list(&parameters).await;
    let listed = listed.map_err(|error| {
        let name = names::ROOTS.to_owned();
        ApplyError::of(ObjectName { name, ..ObjectName::all(kind.kind) }, &error)
    })?;
    Ok(listed.items.iter().map(|object| name(kind, object)).collect())
}

async fn existing(
    client: &Client,
    objects: Vec<ObjectName>,
) -> Result<Vec<ObjectName>, ApplyError> {
    let mut existing = Vec::new();
    for object in objects {
        let Some(kind) = kinds::find(&object.kind) else { continue };
        let found = kind.api(client, object.namespace.as_deref()).get_opt(&object.name).await;
        if found.map_err(|error| ApplyError::of(object.clone(), &error))?.is_some() {
            existing.push(object);
        }
    }
    Ok(existing)
}

async fn count_rules(client: &Client, definition: &DynamicObject) -> Result<usize, ApplyError> {
    let spec = &definition.data["spec"];
    let version = spec["versions"][0]["name"].as_str().unwrap_or_default();
    let group = spec["group"].as_str().unwrap_or_default();
    let kind = spec["names"]["kind"].as_str().unwrap_or_default();
    let plural = spec["names"]["plural"].as_str().unwrap_or_default();
    let gvk = kube::core::GroupVersionKind::gvk(group, version, kind);
    let resource = kube::discovery::ApiResource::from_gvk_with_plural(&gvk, plural);
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    // What cannot be listed cannot be lost by us either: the kind is about to go, or broken.
    Ok(api.list_metadata(&ListParams::default()).await.map_or(0, |list| list.items.len()))
}

async fn in_use(client: &Client, scope: &Scope) -> Result<Vec<String>, ApplyError> {
    let pods: Api<Pod> = Api::all(client.clone());
    let selector = match scope {
        Scope::Revision(revision) => format!("{REVISION_LABEL}={revision}"),
        Scope::Mesh | Scope::Purge => REVISION_LABEL.to_owned(),
    };
    let selector = format!("{selector},{}!={}", PART_OF.0, PART_OF.1);
    let listed = pods.list_metadata(&ListParams::default().labels(&selector)).await;
    let listed = listed.map_err(|error| ApplyError::of(ObjectName::all("Pod"), &error))?;
    let stays = listed.items.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    let namespaces = stays.filter_map(|pod| pod.metadata.namespace);
    Ok(namespaces.collect::<BTreeSet<_>>().into_iter().collect())
}

async fn asking(
    client: &Client,
    namespace: &str,
    scope: &Scope,
) -> Result<Vec<String>, ApplyError> {
    let Scope::Revision(wanted) = scope else { return Ok(Vec::new()) };
    let refused = |kind: &str, error| ApplyError::of(ObjectName::all(kind), &error);
    let revisions = Revisions::installed(client, namespace).await;
    let heeds_istios =
        revisions.map_err(|error| refused(kinds::MUTATING, error))?.has(wanted, true);
    let namespaces = upgrade::namespaces(client, namespace).await;
    let namespaces = namespaces.map_err(|error| refused(kinds::NAMESPACE, error))?.into_iter();
    let asks = |says: &Says| match says {
        Says::Asks { revision, by_istios } => revision == wanted && (heeds_istios || !by_istios),
        Says::No | Says::Nothing => false,
    };
    Ok(namespaces.filter(|(_, says)| asks(says)).map(|(name, _)| name).collect())
}

/// Workloads whose manifests have a sidecar of it.
async fn written(client: &Client, scope: &Scope) -> Result<Vec<ObjectName>, ApplyError> {
    let all = upgrade::written(client).await?.into_iter();
    let is_of_it = |revision: Option<&str>| match scope {
        Scope::Revision(wanted) => revision == Some(wanted),
        Scope::Mesh | Scope::Purge => true,
    };
    Ok(all.filter(|one| is_of_it(one.revision())).map(|one| one.name).collect())
}

fn name(kind: &Kind, object: &DynamicObject) -> ObjectName {
    ObjectName {
        kind: kind.kind.to_owned(),
        namespace: object.metadata.namespace.clone(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}
