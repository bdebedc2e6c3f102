//! Writes into the rules what has become of them, and an event beside one that is refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Api, DynamicObject, Patch, PatchParams, PostParams};
use mesh_rules::{KINDS, RuleKey};
use tokio::time::sleep;
use tracing::warn;

use super::status::{self, Shown};
use super::{Inner, Verdict, kinds, parents};
use crate::cluster::{self, FIELD_MANAGER};
use crate::leader::Leadership;

/// After the API server has refused to write one.
const AGAIN: Duration = Duration::from_secs(5);
/// Of an event's note, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Writes while this pilot is the leader; never ends.
pub(super) async fn run(
    inner: Arc<Inner>,
    client: kube::Client,
    leadership: Leadership,
    me: String,
) {
    let report = || async {
        let mut reporter = Reporter {
            client: client.clone(),
            me: me.clone(),
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
                let (done, now) = (&done.stored, &verdict.stored);
                (&done.uid, done.generation) == (&now.uid, now.generation)
            };
            let done = self.done.get(key);
            if done.is_some_and(|done| is_done(done) && done.problems == verdict.problems) {
                continue;
            }
            match self.write(key, verdict, verdicts).await {
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

    async fn write(
        &self,
        key: &RuleKey,
        verdict: &Verdict,
        verdicts: &BTreeMap<RuleKey, Verdict>,
    ) -> Result<(), kube::Error> {
        let (false, Some(wanted)) = (verdict.stored.foreign, status::wanted(verdict)) else {
            return Ok(());
        };
        let Some(api) = self.api(key, verdict) else { return Ok(()) };
        let written = match key.kind.as_str() {
            // It has no status.
            "ReferenceGrant" => Ok(()),
            "HTTPRoute" => parents::write(&api, key, verdict, &wanted, verdicts).await,
            _ => {
                let params = PatchParams::apply(FIELD_MANAGER).force();
                let patch = Patch::Apply(status::patch(key, verdict, &wanted));
                api.patch_status(&key.name, &params, &patch).await.map(drop)
            }
        };
        match written {
            Ok(()) => {}
            // It is gone, or another one: there will be another verdict.
            Err(kube::Error::Api(status)) if [404, 409].contains(&status.code) => return Ok(()),
            Err(error) => return Err(error),
        }
        let before = verdict.stored.shown.as_ref();
        // The words may change with the mesh: they are in the status.
        let known = before.is_some_and(|before| before.refused_too(&wanted));
        if !wanted.accepted && !known {
            self.tell(key, verdict, &wanted).await?;
        }
        Ok(())
    }

    fn api(&self, key: &RuleKey, verdict: &Verdict) -> Option<Api<DynamicObject>> {
        let kind = KINDS.iter().find(|kind| kind.key == key.kind)?;
        let resource =
            kinds::resources(kind).find(|one| one.api_version == verdict.stored.api_version)?;
        Some(Api::namespaced_with(self.client.clone(), &key.namespace, &resource))
    }

    /// One event for each refusal: its name says of which version of the rule.
    async fn tell(
        &self,
        key: &RuleKey,
        verdict: &Verdict,
        shown: &Shown,
    ) -> Result<(), kube::Error> {
        let now = Timestamp::now();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{}.{:x}", key.name, now.as_microsecond())),
                namespace: Some(key.namespace.clone()),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            type_: Some("Warning".to_owned()),
            reason: Some("Refused".to_owned()),
            action: Some("Check".to_owned()),
            note: Some(shortened(&shown.message)),
            regarding: Some(ObjectReference {
                api_version: Some(verdict.stored.api_version.clone()),
                kind: Some(key.kind.clone()),
                namespace: Some(key.namespace.clone()),
                name: Some(key.name.clone()),
                uid: Some(verdict.stored.uid.clone()),
                ..ObjectReference::default()
            }),
            reporting_controller: Some("mesh-pilot".to_owned()),
            reporting_instance: Some(self.me.clone()),
            ..Event::default()
        };
        let api: Api<Event> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), &event).await {
            Err(error) if !cluster::is_ending(&error) => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= LONGEST_NOTE {
        return text.to_owned();
    }
    let mut end = LONGEST_NOTE - 3;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}...", &text[..end])
}
