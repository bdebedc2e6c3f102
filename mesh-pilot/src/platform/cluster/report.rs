//! Writes into the rules what has become of them, and an event beside one that is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::events::v1::Event;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::ApiResource;
use mesh_rules::{KINDS, RuleKey, istio};
use tokio::time::sleep;
use tracing::warn;

use super::{Inner, Reporting, Verdict, event, kinds, parents, status};
use crate::cluster::{self, FIELD_MANAGER};

/// After the API server has refused to write one.
const AGAIN: Duration = Duration::from_secs(5);

/// Writes while this pilot is the leader; never ends.
pub(super) async fn run(inner: Arc<Inner>, client: kube::Client, reporting: Reporting) {
    let Reporting { leadership, me, beside_istio } = reporting;
    let report = || async {
        let mut reporter = Reporter {
            client: client.clone(),
            me: me.clone(),
            beside_istio,
            done: BTreeMap::new(),
            said: String::new(),
        };
        let mut viewed = inner.viewed.subscribe();
        loop {
            viewed.mark_unchanged();
            let rules = Arc::clone(&inner.view.load().rules);
            let all_done = reporter.report(&rules.verdicts).await;
            tokio::select! {
                // The sender is kept by `inner`.
                _ = viewed.changed() => {}
                () = sleep(AGAIN), if !all_done => {}
            }
        }
    };
    leadership.while_leading(report).await;
}

struct Reporter {
    client: kube::Client,
    me: String,
    beside_istio: bool,
    /// The verdicts that are written. Each is written once: of two control planes that
    /// disagree, neither goes on and on.
    done: BTreeMap<RuleKey, Verdict>,
    /// What could not be written, said once.
    said: String,
}

impl Reporter {
    /// Whether all of them are written.
    async fn report(&mut self, verdicts: &BTreeMap<RuleKey, Verdict>) -> bool {
        self.done.retain(|key, _| verdicts.contains_key(key));
        let mut all_done = true;
        for (key, verdict) in verdicts {
            let is_done = |done: &Verdict| {
                let (former, now) = (&done.stored, &verdict.stored);
                (&former.uid, former.generation) == (&now.uid, now.generation)
                    && done.problems == verdict.problems
                    && done.parents == verdict.parents
            };
            let done = self.done.get(key);
            if done.is_some_and(is_done) {
                continue;
            }
            match self.write(key, verdict).await {
                Ok(()) => {
                    self.done.insert(key.clone(), verdict.clone());
                }
                Err(error) => {
                    all_done = false;
                    let error = cluster::explain(&error);
                    if self.said != error {
                        warn!(rule = %key, error, "its status cannot be written");
                        self.said = error;
                    }
                }
            }
        }
        all_done
    }

    async fn write(&self, key: &RuleKey, verdict: &Verdict) -> Result<(), kube::Error> {
        let (false, Some(resource)) = (verdict.stored.foreign, resource(key, verdict)) else {
            return Ok(());
        };
        if self.beside_istio && is_istios(&verdict.stored.api_version) {
            return Ok(());
        }
        let api = Api::namespaced_with(self.client.clone(), &key.namespace, &resource);
        let written = match key.kind.as_str() {
            // It has no status.
            "ReferenceGrant" => Ok(status::refusal(verdict)),
            "HTTPRoute" => parents::write(&api, key, verdict).await,
            _ => write_status(&api, key, verdict).await,
        };
        let refusal = match written {
            // It is gone, or another one: there will be another verdict.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => None,
            other => other?,
        };
        let Some(refusal) = refusal else { return Ok(()) };
        let event = event::refused(&resource, key, &verdict.stored, &refusal, &self.me);
        let api: Api<Event> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), &event).await {
            Err(error) if !cluster::is_ending(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// The kind in the version in which the rule was read.
fn resource(key: &RuleKey, verdict: &Verdict) -> Option<ApiResource> {
    let kind = KINDS.iter().find(|kind| kind.key == key.kind)?;
    kinds::resources(kind).find(|one| one.api_version == verdict.stored.api_version)
}

fn is_istios(api_version: &str) -> bool {
    let both = [&istio::API_VERSIONS[..], &istio::SECURITY_API_VERSIONS];
    both.iter().any(|versions| versions.contains(&api_version))
}

/// Unless it says so already. Gives why the rule is refused, when that is new.
async fn write_status(
    api: &Api<DynamicObject>,
    key: &RuleKey,
    verdict: &Verdict,
) -> Result<Option<String>, kube::Error> {
    let Some(wanted) = status::wanted(verdict) else { return Ok(None) };
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let patch = Patch::Apply(status::patch(key, verdict, &wanted));
    api.patch_status(&key.name, &params, &patch).await?;
    let before = verdict.stored.shown.as_ref();
    // The words may change with the mesh: they are in the status.
    let known = before.is_some_and(|before| before.refused_too(&wanted));
    Ok(status::refusal(verdict).filter(|_| !known))
}
