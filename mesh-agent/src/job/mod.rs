//! Leaving with the application, so that a Job finishes although its sidecar is a plain
//! container. The agent sees the other containers' processes when the pod shares one
//! process namespace (`shareProcessNamespace`); injection sees to that.

mod ending;
mod processes;

use std::time::{Duration, Instant};

use clap::ValueEnum;
use nix::unistd::getpid;

use crate::status::Status;
use ending::Ending;

/// Between two looks. A look reads a file for each process of the pod.
const EVERY: Duration = Duration::from_millis(500);

/// The pod's `restartPolicy`: whether a container that ended may come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RestartPolicy {
    /// It does not.
    Never,
    /// It does when it failed, which nobody but kubelet knows, after ever longer waits.
    OnFailure,
}

/// From now on, tells the agent to leave when the application has ended.
pub(crate) fn watch(policy: RestartPolicy, status: Status) {
    if getpid().as_raw() == 1 {
        tracing::warn!(
            "the end of the application cannot be seen: the pod does not share its process \
             namespace (spec.shareProcessNamespace: true)"
        );
        return;
    }
    tokio::spawn(async move {
        let mut ending = Ending::new(policy, Instant::now());
        while !ending.look(processes::others(), Instant::now()) {
            tokio::time::sleep(EVERY).await;
        }
        tracing::info!("the application has ended");
        status.leave();
    });
}
