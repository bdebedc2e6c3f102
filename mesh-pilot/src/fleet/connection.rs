use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_proto::envoy::service::discovery::v3::DiscoveryResponse;
use mesh_xds::ResourceType;
use mesh_xds::server::{State, Stream};
use tracing::info;

use super::{Connected, Fleet, STEPS_KEPT, Step, rollout};

/// A proxy's entry in the [`Fleet`], for as long as its stream lasts.
#[derive(Debug)]
pub struct Connection {
    fleet: Arc<Fleet>,
    id: u64,
}

impl Connection {
    pub(super) fn new(fleet: Arc<Fleet>, id: u64) -> Self {
        Self { fleet, id }
    }

    /// The proxy's resources were made from `snapshot`; `concerns` says whether any changed.
    pub fn translated(&self, snapshot: u64, concerns: bool) {
        self.fleet.committed(snapshot);
        self.edit(|connected| {
            let settled = (!concerns).then(Instant::now);
            let first = connected.steps.is_empty();
            connected.steps.push_back(Step { snapshot, first, concerns, settled });
            if connected.steps.len() > STEPS_KEPT {
                connected.steps.pop_front();
            }
        });
    }

    /// A response is about to be sent.
    pub fn sending(&self, response: &DiscoveryResponse) {
        let Some(resource_type) = ResourceType::from_type_url(&response.type_url) else { return };
        self.fleet.metrics.pushed(resource_type);
        self.edit(|connected| {
            let snapshot = connected.steps.back().map_or(0, |step| step.snapshot);
            connected.sent_from.insert(resource_type, snapshot);
        });
    }

    /// The proxy refused a response.
    pub fn rejected(&self, resource_type: ResourceType) {
        self.fleet.metrics.rejected(resource_type);
    }

    /// Notes what the stream has come to; to be called after each of its steps.
    pub fn update(&self, stream: &mut Stream) {
        let done = stream.is_done();
        let statuses = ResourceType::ALL.map(|t| stream.status(t).map(|status| (t, status)));
        self.edit(|connected| connected.types = statuses.into_iter().flatten().collect());
        if done {
            self.settle();
        }
        self.fleet.changed.send_replace(());
    }

    /// The proxy has answered for everything. The last one to do so ends a rollout.
    fn settle(&self) {
        let now = Instant::now();
        let mut update = None;
        self.edit(|connected| {
            for step in connected.steps.iter_mut().filter(|step| step.settled.is_none()) {
                step.settled = Some(now);
                update = (!step.first).then_some(step.snapshot);
            }
        });
        let Some(snapshot) = update else { return };
        let inner = self.fleet.lock();
        if let Some(committed) = inner.commit_time(snapshot) {
            self.fleet.metrics.converged(now.saturating_duration_since(committed));
        }
        let rollout = rollout::of(&inner, snapshot);
        drop(inner);
        if rollout.done {
            self.fleet.metrics.rolled_out(rollout.elapsed);
            let elapsed_ms = milliseconds(rollout.elapsed);
            let rejected = rollout.rejections.len();
            info!(snapshot, proxies = rollout.concerned, rejected, elapsed_ms, "rolled out");
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut Connected)) {
        if let Some(connected) = self.fleet.lock().proxies.get_mut(&self.id) {
            edit(connected);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.fleet.lock().proxies.remove(&self.id);
        self.fleet.changed.send_replace(());
    }
}

impl Connected {
    /// Types whose last response was refused, with the proxy's words.
    pub(super) fn rejections(&self) -> impl Iterator<Item = (ResourceType, &str)> {
        self.types.iter().filter_map(|(resource_type, status)| match &status.state {
            State::Rejected { error } => Some((*resource_type, error.as_str())),
            _ => None,
        })
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
