//! Of the pilots of a cluster one acts for all of them: the one that holds a Lease.
//!
//! A pilot that cannot renew its lease stops acting before another one may begin; who ends
//! gives it back, so that the next one need not wait.

mod election;
mod lease;

use tokio::sync::watch;

pub use election::Election;

/// Whether this pilot is the one that acts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leadership(watch::Receiver<bool>);

impl Leadership {
    /// Whether it is, and each change.
    pub fn receiver(&self) -> watch::Receiver<bool> {
        self.0.clone()
    }

    /// Does `work` for as long as this pilot is the one, and anew each time that it becomes
    /// it: the work is dropped when it no longer is. Ends when the work does, or the election.
    pub async fn while_leading<F: Future<Output = ()>>(mut self, work: impl Fn() -> F) {
        loop {
            if self.0.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            tokio::select! {
                () = work() => return,
                lost = async { self.0.wait_for(|leads| !leads).await.is_err() } => {
                    if lost {
                        return;
                    }
                }
            }
        }
    }
}
