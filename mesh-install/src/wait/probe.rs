//! What can be waited for.

use std::fmt;
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DynamicObject, ListParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::time::timeout;

use super::{pods, workload};
use crate::{ObjectName, explain, kinds};

/// For the API server to say how something is.
const ANSWER: Duration = Duration::from_secs(30);

/// Something that becomes ready.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// The API server serves the kind.
    Definition(String),
    /// All pods are of the latest template, and available.
    Workload(ObjectName),
    /// It exists.
    ConfigMap { namespace: String, name: String },
    /// The pilot has told the API server by which roots it knows it.
    Webhook(ObjectName),
    /// It does not exist.
    Gone(ObjectName),
}

impl fmt::Display for Target {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Definition(name) => write!(to, "the kind {name}"),
            Self::Workload(object) => match &object.namespace {
                Some(namespace) => write!(to, "{namespace}/{}", object.name),
                None => write!(to, "{}", object.name),
            },
            Self::ConfigMap { name, .. } => write!(to, "ConfigMap {name}"),
            Self::Webhook(object) => write!(to, "{}", object.name),
            Self::Gone(object) => write!(to, "{object}"),
        }
    }
}

/// Why something is not ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lack {
    pub(crate) why: String,
    pub(crate) outlook: Outlook,
}

/// What waiting will do about a lack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// It goes away by itself.
    #[default]
    Good,
    /// It may: a node with room may come, a program that crashed is started again.
    Trouble,
    /// It hardly will: what was asked for is not there.
    Fault,
}

impl From<String> for Lack {
    fn from(why: String) -> Self {
        Self { why, outlook: Outlook::Good }
    }
}

impl Target {
    /// What it lacks; None when it is ready.
    pub(crate) async fn lacks(&self, client: &Client) -> Option<Lack> {
        match timeout(ANSWER, self.ask(client)).await {
            Ok(Ok(lack)) => lack,
            Ok(Err(error)) => Some(format!("the API server: {}", explain(&error)).into()),
            Err(_) => Some(format!("the API server says nothing in {ANSWER:?}").into()),
        }
    }

    async fn ask(&self, client: &Client) -> kube::Result<Option<Lack>> {
        match self {
            Self::Workload(object) => workload(client, object).await,
            other => Ok(other.lacks_something(client).await?.map(Lack::from)),
        }
    }

    async fn lacks_something(&self, client: &Client) -> kube::Result<Option<String>> {
        match self {
            Self::Definition(name) => definition(client, name).await,
            Self::Workload(_) => Ok(None),
            Self::ConfigMap { namespace, name } => {
                let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
                let missing = || "the pilot has not published it yet".to_owned();
                api.get_opt(name).await.map(|found| found.is_none().then(missing))
            }
            Self::Webhook(object) => webhook(client, object).await,
            Self::Gone(object) => gone(client, object).await,
        }
    }
}

async fn definition(client: &Client, name: &str) -> kube::Result<Option<String>> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let found = api.get_opt(name).await?;
    let conditions = found.and_then(|found| found.status?.conditions).unwrap_or_default();
    let bad = conditions.iter().find(|one| one.type_ == "NamesAccepted" && one.status == "False");
    if let Some(bad) = bad {
        return Ok(Some(bad.message.clone().unwrap_or_default()));
    }
    let is_there = conditions.iter().any(|one| one.type_ == "Established" && one.status == "True");
    Ok((!is_there).then(|| "the API server does not serve it yet".to_owned()))
}

async fn workload(client: &Client, object: &ObjectName) -> kube::Result<Option<Lack>> {
    let Some(kind) = kinds::find(&object.kind) else { return Ok(None) };
    let namespace = object.namespace.as_deref();
    let Some(found) = kind.api(client, namespace).get_opt(&object.name).await? else {
        return Ok(Some("it is not there".to_owned().into()));
    };
    let workload = kinds::value(kind, &found);
    let Some(progress) = workload::progress(&workload) else { return Ok(None) };
    let selected = ListParams::default().labels(&workload::selector(&workload));
    let all: Api<Pod> = Api::namespaced(client.clone(), namespace.unwrap_or_default());
    let all = all.list(&selected).await?.items;
    let lack = match workload::refused(&workload) {
        None if workload::lacks_pods(&workload, &all) => refused(client, &found).await,
        lack => lack,
    };
    let staying = pods::that_stay(client, &workload, &selected, all).await;
    Ok(Some(match lack.or_else(|| pods::trouble(&staying)) {
        Some(lack) => Lack { why: format!("{progress}: {}", lack.why), ..lack },
        None => progress.into(),
    }))
}

/// Why pods cannot be made, by the events of a workload since it was changed last. Who may not
/// read them does without.
async fn refused(client: &Client, workload: &DynamicObject) -> Option<Lack> {
    let metadata = &workload.metadata;
    let events: Api<Event> = Api::namespaced(client.clone(), metadata.namespace.as_deref()?);
    let selector = format!("involvedObject.uid={},reason=FailedCreate", metadata.uid.as_deref()?);
    let events = events.list(&ListParams::default().fields(&selector)).await.ok()?;
    // Controllers write its status only.
    let by_users = metadata.managed_fields.iter().flatten().filter(|one| one.subresource.is_none());
    workload::refused_by_events(&events.items, by_users.filter_map(|one| one.time.as_ref()).max())
}

async fn webhook(client: &Client, object: &ObjectName) -> kube::Result<Option<String>> {
    let Some(kind) = kinds::find(&object.kind) else { return Ok(None) };
    let Some(found) = kind.api(client, None).get_opt(&object.name).await? else {
        return Ok(Some("it is not there".to_owned()));
    };
    let empty = Vec::new();
    let webhooks = found.data.get("webhooks").and_then(Value::as_array).unwrap_or(&empty);
    let has_roots = |webhook: &Value| {
        webhook["clientConfig"]["caBundle"].as_str().is_some_and(|bundle| !bundle.is_empty())
    };
    let lacking = webhooks.iter().filter(|webhook| !has_roots(webhook)).count();
    let why = || "no pilot has given it its roots yet (caBundle)".to_owned();
    Ok((lacking > 0).then(why))
}

async fn gone(client: &Client, object: &ObjectName) -> kube::Result<Option<String>> {
    let Some(kind) = kinds::find(&object.kind) else { return Ok(None) };
    let found = kind.api(client, object.namespace.as_deref()).get_opt(&object.name).await?;
    let Some(found) = found else { return Ok(None) };
    // A namespace says what keeps it.
    let conditions = found.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let held = conditions.iter().find(|one| {
        one["status"] == "True"
            && one["type"].as_str().is_some_and(|kind| kind.ends_with("Remaining"))
    });
    let why = held.and_then(|one| one["message"].as_str()).unwrap_or("it is being deleted");
    Ok(Some(why.to_owned()))
}
