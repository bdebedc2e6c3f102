//! The Status service: proxies, services, problems, rollouts.

use std::pin::Pin;
use std::sync::Arc;

use mesh_proto::mesh::v1::{
    self as wire, ListProblemsRequest, ListProblemsResponse, ListProxiesRequest,
    ListProxiesResponse, ListServicesRequest, ListServicesResponse, WatchRolloutRequest,
    status_server,
};
use mesh_rules::{Problem, RuleKey};
use mesh_runtime::drain::Watcher;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response};

use super::convert;
use crate::fleet::Fleet;
use crate::platform::{PlatformAdapter, RuleState};

pub(super) struct Status<P> {
    pub(super) platform: Arc<P>,
    pub(super) fleet: Arc<Fleet>,
    pub(super) drain: Watcher,
}

type Rollouts = Pin<Box<dyn Stream<Item = Result<wire::Rollout, tonic::Status>> + Send>>;

#[tonic::async_trait]
impl<P: PlatformAdapter> status_server::Status for Status<P> {
    type WatchRolloutStream = Rollouts;

    async fn list_proxies(
        &self,
        _: Request<ListProxiesRequest>,
    ) -> Result<Response<ListProxiesResponse>, tonic::Status> {
        let proxies = self.fleet.proxies().into_iter().map(convert::proxy).collect();
        Ok(Response::new(ListProxiesResponse { proxies }))
    }

    async fn list_services(
        &self,
        _: Request<ListServicesRequest>,
    ) -> Result<Response<ListServicesResponse>, tonic::Status> {
        let snapshot = self.platform.snapshots().borrow().clone();
        let services =
            snapshot.services().iter().map(|service| convert::service(service)).collect();
        Ok(Response::new(ListServicesResponse { services }))
    }

    async fn list_problems(
        &self,
        _: Request<ListProblemsRequest>,
    ) -> Result<Response<ListProblemsResponse>, tonic::Status> {
        let problems = self.platform.problems().into_iter().map(convert::problem).collect();
        Ok(Response::new(ListProblemsResponse { problems }))
    }

    async fn watch_rollout(
        &self,
        request: Request<WatchRolloutRequest>,
    ) -> Result<Response<Self::WatchRolloutStream>, tonic::Status> {
        let WatchRolloutRequest { version, rules } = request.into_inner();
        let rules = rules.into_iter().map(rule_state).collect::<Result<Vec<_>, _>>()?;
        let version = version.max(self.reflecting(&rules).await);
        let refusals = refusals(self.platform.problems(), &rules);
        let latest = self.platform.snapshots().borrow().version();
        if version > latest {
            return Err(tonic::Status::out_of_range(format!(
                "there is no snapshot {version} yet, the latest is {latest}; \
                 was the control plane restarted?"
            )));
        }
        let (sender, rollouts) = mpsc::channel(1);
        tokio::spawn(follow(self.fleet.clone(), version, refusals, sender, self.drain.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(rollouts))))
    }
}

impl<P: PlatformAdapter> Status<P> {
    /// The first snapshot that reflects all of these rules; 0 for none.
    async fn reflecting(&self, rules: &[(RuleKey, RuleState)]) -> u64 {
        let mut version = 0;
        for (key, state) in rules {
            version = version.max(self.platform.reflects(key, state.clone()).await);
        }
        version
    }
}

fn rule_state(rule: wire::RuleState) -> Result<(RuleKey, RuleState), tonic::Status> {
    let state = match rule.uid.is_empty() {
        true => RuleState::Gone,
        false => RuleState::Stored { uid: rule.uid, generation: rule.generation },
    };
    Ok((convert::key("rules.key", rule.key)?, state))
}

/// Those problems that are of these rules. One may lack another one of them: they are looked at
/// when all are reflected.
fn refusals(mut problems: Vec<Problem>, rules: &[(RuleKey, RuleState)]) -> Vec<Problem> {
    let names: Vec<String> = rules.iter().map(|(key, _)| key.to_string()).collect();
    problems.retain(|problem| names.contains(&problem.source));
    problems
}

/// Sends a rollout each time it changes, until it is done or nobody listens.
async fn follow(
    fleet: Arc<Fleet>,
    version: u64,
    refusals: Vec<Problem>,
    sender: mpsc::Sender<Result<wire::Rollout, tonic::Status>>,
    mut drain: Watcher,
) {
    let mut changes = fleet.changes();
    let mut last = None;
    loop {
        changes.mark_unchanged();
        let rollout = fleet.rollout(version);
        let done = rollout.done;
        if last.as_ref() != Some(&rollout) {
            let message = convert::rollout(rollout.clone(), &refusals);
            if sender.send(Ok(message)).await.is_err() {
                return;
            }
            last = Some(rollout);
        }
        if done {
            return;
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
            _ = drain.begun() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_answers_for_itself_alone() {
        let of = |source: &str| Problem {
            source: source.to_owned(),
            path: "spec.hosts[0]".to_owned(),
            message: "taken".to_owned(),
        };
        let problems = vec![of(""), of("VirtualService shop/cart"), of("VirtualService shop/car")];
        let rule = wire::RuleState {
            key: Some(wire::RuleKey {
                kind: "VirtualService".to_owned(),
                namespace: "shop".to_owned(),
                name: "cart".to_owned(),
            }),
            uid: "1".to_owned(),
            generation: 2,
        };
        let rules = [rule_state(rule).unwrap()];
        assert_eq!(refusals(problems, &rules), [of("VirtualService shop/cart")]);
        assert!(rule_state(wire::RuleState::default()).is_err());
    }
}
