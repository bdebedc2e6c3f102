//! One kind of objects of the API server, followed for ever.
//!
//! A watch that was cut goes on where it was; only when the API server has forgotten that
//! (410) is everything listed anew. What is listed counts when all of it has come: half a
//! list would look like a mass removal.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use kube::api::Api;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::StreamExt;

use super::trouble::{Trouble, Unwatched};

/// A connection that died without a word is noticed so many seconds later.
const WATCH_TIMEOUT: u32 = 60;
/// When a kind is looked for again that the cluster does not have.
const MISSING: Duration = Duration::from_secs(3);
/// A watch from which nothing bad was heard for so long, longer than it takes to fail, works.
const QUIET: Duration = Duration::from_secs(10);

/// An object's name and namespace; no namespace: empty.
pub(crate) type ObjectName = mesh_model::ServiceName;

/// What became of the objects of one kind, by namespace and name.
#[derive(Debug)]
pub(crate) enum Delta<T> {
    /// These are all that there are.
    All(BTreeMap<ObjectName, T>),
    /// One was made or changed.
    Set(ObjectName, T),
    /// One is gone.
    Gone(ObjectName),
}

/// What is watched.
pub(crate) struct Source<K> {
    /// As users know it, `pods`.
    pub(crate) name: String,
    /// One for each version in which it can be read, the best first.
    pub(crate) versions: Vec<Api<K>>,
    /// Which of them.
    pub(crate) config: watcher::Config,
}

impl<K: Resource<DynamicType: Default>> Source<K> {
    /// All that there are.
    pub(crate) fn all(name: &str, client: &kube::Client) -> Self {
        let versions = vec![Api::all(client.clone())];
        Self { name: name.to_owned(), versions, config: watcher::Config::default() }
    }
}

/// Watches until nobody takes the changes any more. `read` makes of each object what is kept
/// of it, and `change` of that what is sent.
pub(crate) async fn follow<K, T, C>(
    source: Source<K>,
    changes: mpsc::Sender<C>,
    read: impl Fn(K) -> T,
    change: impl Fn(Delta<T>) -> C,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    C: From<Unwatched>,
{
    let config = source.config.timeout(WATCH_TIMEOUT);
    let mut trouble = Trouble::new(source.name, changes.clone());
    let mut version = 0;
    loop {
        let Some(api) = source.versions.get(version) else { return };
        let outcome = follow_version(api, &config, &mut trouble, &changes, &read, &change).await;
        match outcome {
            Outcome::Unheard => return,
            Outcome::Expired => {}
            Outcome::Missing => version += 1,
        }
        if version == source.versions.len() {
            version = 0;
            trouble.missing().await;
            // An API server that is not yet complete says 503, not 404: there are none.
            if changes.send(change(Delta::All(BTreeMap::new()))).await.is_err() {
                return;
            }
            sleep(MISSING).await;
        }
    }
}

/// Why a watch ended.
enum Outcome {
    /// Nobody takes the changes.
    Unheard,
    /// The kind does not exist in that version.
    Missing,
    /// The API server has forgotten what we have seen: list anew.
    Expired,
}

async fn follow_version<K, T, C>(
    api: &Api<K>,
    config: &watcher::Config,
    trouble: &mut Trouble<C>,
    changes: &mpsc::Sender<C>,
    read: &impl Fn(K) -> T,
    change: &impl Fn(Delta<T>) -> C,
) -> Outcome
where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    C: From<Unwatched>,
{
    let mut events = pin!(watcher(api.clone(), config.clone()));
    let mut listed = BTreeMap::new();
    loop {
        let event = match trouble.is_over() {
            true => events.next().await,
            false => match timeout(QUIET, events.next()).await {
                Ok(event) => event,
                Err(_) => {
                    trouble.over().await;
                    continue;
                }
            },
        };
        let delta = match event {
            Some(Ok(Event::Init)) => {
                listed.clear();
                continue;
            }
            Some(Ok(Event::InitApply(object))) => {
                listed.insert(name(&object), read(object));
                continue;
            }
            Some(Ok(Event::InitDone)) => Delta::All(std::mem::take(&mut listed)),
            Some(Ok(Event::Apply(object))) => Delta::Set(name(&object), read(object)),
            Some(Ok(Event::Delete(object))) => Delta::Gone(name(&object)),
            Some(Err(error)) => {
                let code = code(&error);
                if code == Some(404) {
                    return Outcome::Missing;
                }
                sleep(trouble.met(&error).await).await;
                if code == Some(410) {
                    return Outcome::Expired;
                }
                continue;
            }
            None => return Outcome::Expired,
        };
        trouble.over().await;
        if changes.send(change(delta)).await.is_err() {
            return Outcome::Unheard;
        }
    }
}

fn name<K: Resource>(object: &K) -> ObjectName {
    ObjectName { name: object.name_any(), namespace: object.namespace().unwrap_or_default() }
}

/// The API server's, when the error is its answer.
fn code(error: &watcher::Error) -> Option<u16> {
    use watcher::Error::{
        InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
    };
    match error {
        WatchError(status) => Some(status.code),
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => Some(status.code),
        InitialListFailed(_) | WatchStartFailed(_) | WatchFailed(_) | NoResourceVersion => None,
    }
}
