//! Which proxies are not of a release, and who can bring them along.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt};

use super::namespaces::{self, Says};
use super::owners::{self, Owner};
use super::wanted::{self, Wanted};
use super::{Rollout, Which, by_hand, written};
use crate::pod::is_done;
use crate::revisions::Revisions;
use crate::{ApplyError, ObjectName, PART_OF, REVISION_LABEL, sidecar};

/// The Gateway API's label of what is made for a Gateway.
const GATEWAY: &str = "gateway.networking.k8s.io/gateway-name";

/// What a namespace is to an upgrade, once it is moved.
enum Place {
    /// New pods get proxies of the release.
    Ours,
    /// Each pod asks for itself.
    Silent,
    /// New pods get none of this release.
    Others,
}

pub(super) struct Search<'a> {
    pub(super) client: &'a Client,
    pub(super) wanted: Wanted,
    pub(super) revisions: Revisions,
    pub(super) namespaces: BTreeMap<String, Says>,
    pub(super) which: &'a Which,
}

impl Search<'_> {
    pub(super) async fn run(&self) -> Result<Rollout, ApplyError> {
        let mut rollout = Rollout { revision: self.wanted.revision.clone(), ..Rollout::default() };
        self.namespaces(&mut rollout);
        self.pods(&mut rollout).await?;
        for one in written::find(self.client).await? {
            let place = one.name.namespace.as_deref().unwrap_or_default();
            let revision = one.revision().unwrap_or_default();
            if self.wanted.is_stale(&one.metadata) && self.concerns(place, revision) {
                rollout.by_hand(&one.name, by_hand::inject(&one.name, &self.wanted.revision));
            }
        }
        Ok(rollout)
    }

    /// Those that ask for another revision of this mesh. Who asks for none of its revisions by
    /// Istio's label asks an Istio.
    fn namespaces(&self, rollout: &mut Rollout) {
        let which = self.namespaces.iter().filter(|(name, _)| self.which.has(name));
        for (name, says) in which.filter(|_| self.which.moves) {
            let Says::Asks { revision, by_istios } = says else { continue };
            if *revision == self.wanted.revision {
                continue;
            }
            if self.revisions.has(revision, *by_istios) {
                rollout.namespaces.push(name.clone());
            } else if !by_istios {
                let why = by_hand::of_namespace(name, revision, &self.wanted.revision);
                rollout.by_hand(&namespaces::named(name), why);
            }
        }
    }

    async fn pods(&self, rollout: &mut Rollout) -> Result<(), ApplyError> {
        let pods: Api<Pod> = Api::all(self.client.clone());
        let listed = pods.list(&ListParams::default().labels(REVISION_LABEL)).await;
        let listed = listed.map_err(|error| ApplyError::of(ObjectName::all("Pod"), &error))?;
        let mut made: BTreeMap<ObjectName, Vec<String>> = BTreeMap::new();
        for pod in listed.items.iter().filter(|pod| self.is_stale(pod)) {
            match pod.labels().get(PART_OF.0).is_some_and(|value| value == PART_OF.1) {
                true => self.gateway(pod, rollout),
                false => made.entry(owners::maker(pod)).or_default().push(pod.name_any()),
            }
        }
        for (maker, pods) in made {
            let owner = owners::behind(self.client, &maker).await?;
            match self.by_hand(&owner, &pods) {
                Some(why) => rollout.by_hand(&owner.name, why),
                None => rollout.new_pods(owner.name),
            }
        }
        Ok(())
    }

    fn is_stale(&self, pod: &Pod) -> bool {
        let namespace = pod.namespace().unwrap_or_default();
        let revision = wanted::revision(&pod.metadata).unwrap_or_default();
        sidecar(pod).is_some()
            && !is_done(pod)
            && pod.metadata.deletion_timestamp.is_none()
            && self.wanted.is_stale(&pod.metadata)
            && self.concerns(&namespace, revision)
    }

    /// Whether pods of a revision in this namespace are to be of the release.
    fn concerns(&self, namespace: &str, revision: &str) -> bool {
        // The mesh's own namespace is not among them.
        if !self.which.has(namespace) || !self.namespaces.contains_key(namespace) {
            return false;
        }
        revision == self.wanted.revision
            || matches!(self.place(namespace), Place::Ours)
            || self.which.moves && self.revisions.has(revision, false)
    }

    fn place(&self, namespace: &str) -> Place {
        match self.namespaces.get(namespace) {
            Some(Says::Asks { revision, by_istios })
                if self.revisions.has(revision, *by_istios)
                    && (*revision == self.wanted.revision || self.which.moves) =>
            {
                Place::Ours
            }
            Some(Says::Asks { .. } | Says::No) => Place::Others,
            Some(Says::Nothing) | None => Place::Silent,
        }
    }

    /// Why a rollout would not do; None when it would.
    fn by_hand(&self, Owner { name, object }: &Owner, pods: &[String]) -> Option<String> {
        let revision = &self.wanted.revision;
        let metadata = object.as_ref().map(|object| &written::template(object)["metadata"]);
        if metadata.is_some_and(written::is_written) {
            return Some(by_hand::inject(name, revision));
        }
        let heeds_istios = self.revisions.has(revision, true);
        let asked = metadata.map(|metadata| by_hand::asked_by(&metadata["labels"], heeds_istios));
        let namespace = name.namespace.as_deref().unwrap_or_default();
        match (self.place(namespace), asked) {
            (Place::Silent, Some(Some(other))) if other != revision => {
                Some(by_hand::asks_itself(name, other, revision))
            }
            (Place::Silent, Some(None)) | (Place::Others, _) => {
                Some(by_hand::nobody_asks(name, revision))
            }
            (Place::Ours | Place::Silent, _) => by_hand::of_rollout(name, object.as_ref(), pods),
        }
    }

    /// The pilots of its revision bring it along themselves.
    fn gateway(&self, pod: &Pod, rollout: &mut Rollout) {
        let Some(name) = pod.labels().get(GATEWAY) else { return };
        if wanted::revision(&pod.metadata) != Some(&self.wanted.revision) && self.which.moves {
            let name = ObjectName {
                kind: "Gateway".to_owned(),
                namespace: pod.namespace(),
                name: name.clone(),
            };
            rollout.by_hand(&name, by_hand::of_gateway(&name, &self.wanted.revision));
        }
    }
}
