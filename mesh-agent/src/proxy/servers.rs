//! What the agent serves beside the proxy.

use mesh_runtime::drain::{self, Trigger};

use super::RunArgs;
use super::admin::Admin;
use super::readiness::Readiness;

/// Everything that is served, for as long as this lives.
pub(super) struct Servers {
    readiness: Readiness,
    _trigger: Trigger,
}

impl Servers {
    /// Starts them all; an address that cannot be listened on is an error.
    pub(super) async fn start(args: &RunArgs, admin: Admin) -> anyhow::Result<Self> {
        let (trigger, watcher) = drain::channel();
        let readiness = Readiness::new(admin);
        readiness.serve(args, &watcher).await?;
        Ok(Self { readiness, _trigger: trigger })
    }

    /// The agent has been told to end: from now on the pod is not ready.
    pub(super) fn terminate(&self) {
        self.readiness.terminate();
    }
}
