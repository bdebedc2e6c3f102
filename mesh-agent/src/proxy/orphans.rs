//! As PID 1 of a container, the agent inherits every orphan and must reap it.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::{Pid, getpid};
use tokio::signal::unix::{SignalKind, signal};

/// The processes that somebody waits for.
#[derive(Clone, Default)]
pub(super) struct Awaited(Rc<RefCell<BTreeSet<u32>>>);

impl Awaited {
    /// From now on its end is for whoever calls this to see.
    pub(super) fn add(&self, pid: u32) {
        self.0.borrow_mut().insert(pid);
    }

    /// Its end has been seen.
    pub(super) fn remove(&self, pid: u32) {
        self.0.borrow_mut().remove(&pid);
    }

    fn has(&self, pid: Pid) -> bool {
        u32::try_from(pid.as_raw()).is_ok_and(|pid| self.0.borrow().contains(&pid))
    }
}

/// Reaps orphans for ever; returns at once when not PID 1.
pub(super) async fn reap(awaited: Awaited) {
    if getpid().as_raw() != 1 {
        return;
    }
    let Ok(mut children) = signal(SignalKind::child()) else {
        tracing::warn!("cannot watch for orphans; they stay as zombies");
        return;
    };
    loop {
        reap_all(&awaited);
        // The signal of an orphan can be lost behind that of the proxy.
        let _ = tokio::time::timeout(Duration::from_secs(30), children.recv()).await;
    }
}

fn reap_all(awaited: &Awaited) {
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    // Looks before it takes: taking the proxy's status would leave its supervisor waiting.
    while let Ok(status) = waitid(Id::All, look) {
        match status.pid() {
            Some(pid) if status != WaitStatus::StillAlive && !awaited.has(pid) => {
                let _ = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            }
            _ => return,
        }
    }
}
