//! The roots, published to every namespace, where pods find them: a ConfigMap that they mount.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::watcher;
use mesh_tls::TrustBundle;
use serde_json::json;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{info, warn};

use super::rollover::Trust;
use crate::cluster::{self, Delta, Source, Unwatched, follow};
use crate::leader::Leadership;

/// The name of the ConfigMap.
const NAME: &str = "mesh-ca-root-cert";
const KEY: &str = "root-cert.pem";
/// After the API server has refused to write one.
const AGAIN: Duration = Duration::from_secs(2);

/// What is published in this namespace now, by whichever pilot. An API server that does not
/// say is waited for: a root that retires would be forgotten, which others are still trusted by.
pub(super) async fn published(client: kube::Client, namespace: &str) -> Option<TrustBundle> {
    let api: Api<ConfigMap> = Api::namespaced(client, namespace);
    let ask = || async { api.get_opt(NAME).await.map_err(|error| cluster::explain(&error)) };
    let found = cluster::persist("what roots were published before is not known", ask).await;
    TrustBundle::from_pem(text(found?)?.as_bytes()).ok()
}

/// Keeps the roots published in every namespace, whatever is done to the ConfigMaps, while
/// this pilot is the leader.
pub async fn publish(client: kube::Client, leadership: Leadership, trust: watch::Receiver<Trust>) {
    leadership.while_leading(|| keep(client.clone(), trust.clone())).await;
}

/// Ends when there are no more roots to come.
async fn keep(client: kube::Client, mut trust: watch::Receiver<Trust>) {
    let (sender, mut changes) = mpsc::channel(64);
    let namespaces: Source<PartialObjectMeta<Namespace>> = Source::all("namespaces", &client);
    let is_open =
        |namespace: PartialObjectMeta<Namespace>| namespace.metadata.deletion_timestamp.is_none();
    let mut maps: Source<ConfigMap> = Source::all("configmaps", &client);
    maps.config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    let work = async {
        let mut roots = Roots::default();
        let mut failed = false;
        loop {
            tokio::select! {
                change = changes.recv() => match change {
                    Some(change) => roots.take(change),
                    None => return,
                },
                changed = trust.changed() => if changed.is_err() { return },
                () = sleep(AGAIN), if failed => {}
            }
            let text = trust.borrow_and_update().bundle.to_pem();
            failed = !roots.put_right(&client, &text).await;
        }
    };
    // The watches end with the work.
    tokio::select! {
        () = work => {}
        () = follow(namespaces, sender.clone(), is_open, Change::Namespaces) => {}
        () = follow(maps, sender.clone(), text, Change::Maps) => {}
    }
}

enum Change {
    /// Whether a namespace takes new objects.
    Namespaces(Delta<bool>),
    /// What is in a ConfigMap.
    Maps(Delta<Option<String>>),
    /// It was said in the log.
    Watch,
}

impl From<Unwatched> for Change {
    fn from(_: Unwatched) -> Self {
        Self::Watch
    }
}

fn text(map: ConfigMap) -> Option<String> {
    map.data?.remove(KEY)
}

/// What is known of the cluster; `None`: nothing yet.
#[derive(Default)]
struct Roots {
    namespaces: Option<BTreeSet<String>>,
    /// By namespace.
    maps: Option<BTreeMap<String, String>>,
    /// What could not be written, said once.
    said: BTreeMap<String, String>,
}

impl Roots {
    fn take(&mut self, change: Change) {
        match change {
            Change::Namespaces(Delta::All(all)) => {
                let open = all.into_iter().filter(|(_, is_open)| *is_open);
                self.namespaces = Some(open.map(|(namespace, _)| namespace.name).collect());
            }
            Change::Namespaces(Delta::Set(namespace, true)) => {
                self.namespaces.get_or_insert_default().insert(namespace.name);
            }
            Change::Namespaces(Delta::Set(namespace, false) | Delta::Gone(namespace)) => {
                self.namespaces.get_or_insert_default().remove(&namespace.name);
                self.said.remove(&namespace.name);
            }
            Change::Maps(Delta::All(all)) => {
                let texts = all.into_iter().filter_map(|(map, text)| Some((map.namespace, text?)));
                self.maps = Some(texts.collect());
            }
            Change::Maps(Delta::Set(map, Some(text))) => {
                self.maps.get_or_insert_default().insert(map.namespace, text);
            }
            Change::Maps(Delta::Set(map, None) | Delta::Gone(map)) => {
                self.maps.get_or_insert_default().remove(&map.namespace);
            }
            Change::Watch => {}
        }
    }

    /// Namespaces in which there is not this text. None while not everything is known.
    fn wrong(&self, text: &str) -> Vec<String> {
        let (Some(namespaces), Some(maps)) = (&self.namespaces, &self.maps) else {
            return Vec::new();
        };
        let is_wrong = |namespace: &&String| maps.get(*namespace).is_none_or(|map| map != text);
        namespaces.iter().filter(is_wrong).cloned().collect()
    }

    /// Whether all of them are right now.
    async fn put_right(&mut self, client: &kube::Client, text: &str) -> bool {
        let mut all_right = true;
        for namespace in self.wrong(text) {
            match write(client, &namespace, text).await {
                Ok(()) => {
                    info!(namespace, "the roots are published");
                    self.said.remove(&namespace);
                    self.maps.get_or_insert_default().insert(namespace, text.to_owned());
                }
                // Soon it is known to be gone.
                Err(error) if cluster::is_ending(&error) => {}
                Err(error) => {
                    all_right = false;
                    let error = cluster::explain(&error);
                    if self.said.get(&namespace) != Some(&error) {
                        warn!(namespace, error, "the roots cannot be published there");
                        self.said.insert(namespace, error);
                    }
                }
            }
        }
        all_right
    }
}

async fn write(client: &kube::Client, namespace: &str, text: &str) -> Result<(), kube::Error> {
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "mesh"}},
        "data": {KEY: text},
    });
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let params = PatchParams::apply(cluster::FIELD_MANAGER).force();
    api.patch(NAME, &params, &Patch::Apply(map)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ObjectName;

    fn namespace(name: &str) -> ObjectName {
        ObjectName { name: name.to_owned(), namespace: String::new() }
    }

    fn map(namespace: &str) -> ObjectName {
        ObjectName { name: NAME.to_owned(), namespace: namespace.to_owned() }
    }

    #[test]
    fn every_open_namespace_has_the_roots_of_today() {
        let mut roots = Roots::default();
        let all = [("a", true), ("b", true), ("ends", false)];
        let all = all.map(|(name, is_open)| (namespace(name), is_open));
        roots.take(Change::Namespaces(Delta::All(all.into())));
        assert_eq!(roots.wrong("new"), [""; 0], "what there is, is not known yet");
        let texts = [(map("a"), Some("new".to_owned())), (map("b"), Some("old".to_owned()))];
        roots.take(Change::Maps(Delta::All(texts.into())));
        assert_eq!(roots.wrong("new"), ["b"]);
        roots.take(Change::Maps(Delta::Set(map("b"), Some("new".to_owned()))));
        assert_eq!(roots.wrong("new"), [""; 0]);
        roots.take(Change::Maps(Delta::Gone(map("a"))));
        roots.take(Change::Maps(Delta::Set(map("b"), None)));
        assert_eq!(roots.wrong("new"), ["a", "b"]);
        roots.take(Change::Namespaces(Delta::Set(namespace("a"), false)));
        roots.take(Change::Namespaces(Delta::Set(namespace("c"), true)));
        assert_eq!(roots.wrong("new"), ["b", "c"]);
    }
}
