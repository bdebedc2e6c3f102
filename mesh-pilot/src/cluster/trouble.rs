//! What hinders a watch: said once, waited out, and shown until it is over.

use std::time::Duration;

use kube::runtime::watcher;
use tokio::sync::mpsc;
use tracing::{debug, info, warn};

use super::explain as explain_client;

/// A cut connection is made anew at once; what fails again and again is left more time.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(5);

/// A watch does not work, or works again.
#[derive(Debug)]
pub(crate) struct Unwatched {
    /// `pods`.
    pub(crate) watched: String,
    /// `None`: it works.
    pub(crate) problem: Option<String>,
}

/// Of the watch of one kind.
pub(crate) struct Trouble<C> {
    /// What is watched, `pods`.
    watched: String,
    changes: mpsc::Sender<C>,
    failures: u32,
    /// What was said of it last.
    said: Option<String>,
    missing: bool,
}

impl<C: From<Unwatched>> Trouble<C> {
    pub(crate) fn new(watched: String, changes: mpsc::Sender<C>) -> Self {
        Self { watched, changes, failures: 0, said: None, missing: false }
    }

    /// Whether the watch works, as far as is known.
    pub(crate) fn is_over(&self) -> bool {
        self.failures == 0
    }

    /// Notes a failure; gives the time to wait before it is tried again.
    pub(crate) async fn met(&mut self, error: &watcher::Error) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.failures.min(10)).min(LONGEST);
        self.failures += 1;
        let watched = &self.watched;
        let text = explain(error);
        let refused = is_refusal(error);
        // API servers close connections; that alone is nothing.
        if self.failures == 1 && !refused {
            debug!(watched, error = text, "a watch was cut, and goes on");
        } else if self.said.as_ref() != Some(&text) {
            warn!(watched, error = text, "cannot watch, and tries again");
            let problem = format!("{watched} cannot be watched: {text}");
            self.said = Some(text);
            self.show(Some(problem)).await;
        }
        pause
    }

    /// The watch works.
    pub(crate) async fn over(&mut self) {
        self.failures = 0;
        if std::mem::take(&mut self.missing) {
            info!(watched = self.watched, "the cluster has this kind now");
        }
        if self.said.take().is_some() {
            info!(watched = self.watched, "watched again");
            self.show(None).await;
        }
    }

    /// The cluster does not have this kind.
    pub(crate) async fn missing(&mut self) {
        let known = std::mem::take(&mut self.missing);
        self.over().await;
        self.missing = true;
        if !known {
            info!(watched = self.watched, "the cluster does not have this kind; waiting for it");
        }
    }

    async fn show(&self, problem: Option<String>) {
        let unwatched = Unwatched { watched: self.watched.clone(), problem };
        // Nobody listens any more when it has ended.
        let _ = self.changes.send(unwatched.into()).await;
    }
}

fn is_refusal(error: &watcher::Error) -> bool {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(kube::Error::Api(status))
        | WatchStartFailed(kube::Error::Api(status))
        | WatchFailed(kube::Error::Api(status)) => status.is_forbidden(),
        _ => false,
    }
}

fn explain(error: &watcher::Error) -> String {
    use watcher::Error::{
        InitialListFailed, NoResourceVersion, WatchError, WatchFailed, WatchStartFailed,
    };
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => {
            explain_client(error)
        }
        WatchError(status) => status.message.clone(),
        NoResourceVersion => error.to_string(),
    }
}
