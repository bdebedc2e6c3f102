//! The mesh as the commands see it: its services and rules, and who has which
//! configuration. On one machine its control plane answers for all of it; on a cluster rules
//! are in the API server, and each replica of the control plane answers for its proxies.

mod cluster;
mod forward;
mod pilot;

use std::time::Duration;

use anyhow::{Result, bail};
use mesh_proto::mesh::v1::{self as api, Rollout};
use mesh_rules::RuleKey;
use mesh_rules::route::{ExistingRule, KnownService};
use tokio::task::JoinSet;

use self::cluster::Rules;
use self::pilot::Pilot;
use crate::cli::{Global, Place};

/// For every proxy's answer.
const ROLLOUT: Duration = Duration::from_secs(30);

/// A connection to the mesh.
pub(crate) struct Mesh {
    /// One that answers for what all know alike.
    pilot: Pilot,
    /// Its replicas on a cluster.
    others: Vec<Pilot>,
    /// Where rules are, when the control plane does not keep them itself.
    rules: Option<Rules>,
}

/// What was written, to be waited for.
#[derive(Debug)]
pub(crate) struct Change {
    version: u64,
    rules: Vec<api::RuleState>,
}

impl Mesh {
    /// Connects to the mesh that the command line names.
    pub(crate) async fn connect(global: &Global) -> Result<Self> {
        match global.place() {
            Place::Pilot(address) => Self::at(&address).await,
            Place::Cluster => {
                let client = global.cluster.connect().await?;
                let mut pilots = forward::pilots(&client, &global.cluster.mesh_namespace).await?;
                let pilot = pilots.remove(0);
                Ok(Self { pilot, others: pilots, rules: Some(Rules::new(client)) })
            }
        }
    }

    /// Connects to the mesh on this machine, whatever else there is.
    pub(crate) async fn local(global: &Global) -> Result<Self> {
        Self::at(&global.pilot()).await
    }

    async fn at(address: &str) -> Result<Self> {
        let pilot = Pilot::connect(address).await?;
        Ok(Self { pilot, others: Vec::new(), rules: None })
    }

    /// Every service with its versions.
    pub(crate) async fn services(&mut self) -> Result<Vec<KnownService>> {
        self.pilot.services().await
    }

    /// Every rule that is in force, as it was written.
    pub(crate) async fn rules(&mut self) -> Result<Vec<ExistingRule>> {
        self.pilot.rules().await
    }

    /// The rules that `meshctl route` changes, as they are kept: on a cluster they need not be
    /// in force, nor such as can be read.
    pub(crate) async fn kept(&mut self) -> Result<Vec<ExistingRule>> {
        match &mut self.rules {
            Some(rules) => rules.list().await,
            None => self.pilot.rules().await,
        }
    }

    /// Applies documents. What does not check is refused as a whole, and before any is written:
    /// the API server takes what does not fit the mesh.
    pub(crate) async fn apply(&mut self, yaml: String, namespace: &str) -> Result<Change> {
        match &mut self.rules {
            Some(rules) => {
                self.pilot.check(yaml.clone(), namespace).await?;
                Ok(Change { version: 0, rules: rules.apply(&yaml, namespace).await? })
            }
            None => Ok(Change::of(self.pilot.apply(yaml, namespace).await?)),
        }
    }

    /// Checks documents as [`Mesh::apply`] does, and changes nothing.
    pub(crate) async fn check(&mut self, yaml: String, namespace: &str) -> Result<()> {
        self.pilot.check(yaml.clone(), namespace).await?;
        match &self.rules {
            Some(rules) => rules.check(&yaml, namespace).await,
            None => Ok(()),
        }
    }

    /// Removes a rule that no other one needs. On a cluster the others would stay in force for now,
    /// and be refused when a pilot starts anew.
    pub(crate) async fn delete_unneeded(&mut self, key: RuleKey) -> Result<Change> {
        if self.rules.is_some() {
            self.pilot.delete(key.clone(), true).await?;
        }
        self.delete(key).await
    }

    /// Removes a rule. On a cluster nobody looks who needs it.
    pub(crate) async fn delete(&mut self, key: RuleKey) -> Result<Change> {
        match &mut self.rules {
            Some(rules) => Ok(Change { version: 0, rules: vec![rules.delete(key).await?] }),
            None => Ok(Change::of(self.pilot.delete(key, false).await?)),
        }
    }

    /// Waits until every proxy that the change concerns has answered.
    pub(crate) async fn rollout(&mut self, change: Change) -> Result<Rollout> {
        let Change { version, rules } = change;
        let request = api::WatchRolloutRequest { version, rules };
        let mut waiting = JoinSet::new();
        for mut pilot in self.pilots() {
            let request = request.clone();
            waiting.spawn(async move { pilot.rollout(request).await });
        }
        let all = async {
            let mut sum = Rollout { done: true, ..Rollout::default() };
            while let Some(rollout) = waiting.join_next().await {
                sum = added(sum, rollout??);
            }
            Ok(sum)
        };
        tokio::time::timeout(ROLLOUT, all).await.unwrap_or_else(|_| {
            bail!(
                "not every proxy has answered after {} s; `meshctl proxy-status` shows which",
                ROLLOUT.as_secs()
            )
        })
    }

    /// Every connected proxy.
    pub(crate) async fn proxies(&mut self) -> Result<Vec<api::Proxy>> {
        let mut proxies = Vec::new();
        for mut pilot in self.pilots() {
            proxies.extend(pilot.proxies().await?);
        }
        proxies.sort_by(|a, b| (&a.namespace, &a.pod).cmp(&(&b.namespace, &b.pod)));
        Ok(proxies)
    }

    /// Rules that are refused.
    pub(crate) async fn problems(&mut self) -> Result<Vec<api::Problem>> {
        self.pilot.problems().await
    }

    fn pilots(&self) -> Vec<Pilot> {
        std::iter::once(&self.pilot).chain(&self.others).cloned().collect()
    }
}

impl Change {
    fn of(version: u64) -> Self {
        Self { version, rules: Vec::new() }
    }

    /// Both of them. On one machine the later version has the earlier one.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.version = self.version.max(other.version);
        self.rules.extend(other.rules);
        self
    }
}

/// What two control planes say of one change, each of its own proxies; of rules they say the same.
fn added(a: Rollout, mut b: Rollout) -> Rollout {
    b.refusals.retain(|refusal| !a.refusals.contains(refusal));
    Rollout {
        concerned: a.concerned + b.concerned,
        acked: a.acked + b.acked,
        rejections: [a.rejections, b.rejections].concat(),
        done: a.done && b.done,
        elapsed_ms: a.elapsed_ms.max(b.elapsed_ms),
        refusals: [a.refusals, b.refusals].concat(),
    }
}
