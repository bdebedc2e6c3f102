//! Telling tasks to end.

use tokio::sync::watch;

/// Tells; dropping it does not.
#[derive(Debug)]
pub(crate) struct Stop(watch::Sender<bool>);

/// Is told, also when that was before it began to wait.
#[derive(Debug)]
pub(crate) struct Stopped(watch::Receiver<bool>);

impl Stop {
    pub(crate) fn new() -> Self {
        Self(watch::channel(false).0)
    }

    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }

    pub(crate) fn subscribe(&self) -> Stopped {
        Stopped(self.0.subscribe())
    }
}

impl Stopped {
    /// Ends once somebody said so. Cancel-safe.
    pub(crate) async fn stopped(&mut self) {
        if self.0.wait_for(|stopped| *stopped).await.is_err() {
            // Nobody is left who could say so.
            std::future::pending::<()>().await;
        }
    }
}
