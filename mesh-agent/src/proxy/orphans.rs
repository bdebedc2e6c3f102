//! As PID 1 of a container, the agent inherits every orphan and must reap it.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};
use tokio::signal::unix::{SignalKind, signal};

/// The proxy's process id, whose end is for its supervisor to see.
pub(super) type Supervised = Rc<Cell<Option<Pid>>>;

/// Reaps orphans for ever; returns at once when not PID 1.
pub(super) async fn reap(supervised: Supervised) {
    if getpid().as_raw() != 1 {
        return;
    }
    let Ok(mut children) = signal(SignalKind::child()) else {
        tracing::warn!("cannot watch for orphans; they stay as zombies");
        return;
    };
    loop {
        reap_all(&supervised);
        // The signal of an orphan can be lost behind that of the proxy.
        let _ = tokio::time::timeout(Duration::from_secs(30), children.recv()).await;
    }
}

fn reap_all(supervised: &Supervised) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Looks before it takes: taking the proxy's status would leave its supervisor waiting.
    while let Ok(status) = waitid(Id::All, look) {
        match status.pid() {
            Some(pid) if status != WaitStatus::StillAlive && supervised.get() != Some(pid) => {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            _ => return,
        }
    }
}
