//! What the agent serves beside the proxy.

use mesh_runtime::drain::{self, Trigger};

use super::RunArgs;
use crate::status::Status;

/// Everything that is served, for as long as this lives.
pub(super) struct Servers {
    status: Status,
    _trigger: Trigger,
}

impl Servers {
    /// Starts them all; an address that cannot be listened on is an error.
    pub(super) fn start(args: &RunArgs, status: Status) -> anyhow::Result<Self> {
        let (trigger, watcher) = drain::channel();
        status.serve(args, &watcher)?;
        Ok(Self { status, _trigger: trigger })
    }

    /// Whether the pod may be ready at all; not when its proxy has been told to end.
    pub(super) fn ready(&self, may_be: bool) {
        self.status.terminating(!may_be);
    }

    /// A proxy was started, for the first time or again.
    pub(super) fn proxy_started(&self) {
        self.status.proxy_started();
    }

    /// Waits until the application asks the agent to end. Cancel-safe.
    pub(super) async fn told_to_leave(&self) {
        self.status.told_to_leave().await;
    }
}
