//! Notices changes of the folder.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;

use super::{Inner, scan};

/// For what no event told of, such as a file made in a new folder before that was watched.
const ANYWAY: Duration = Duration::from_secs(5);

/// Ends the watching when dropped.
pub(super) struct Watcher {
    _events: RecommendedWatcher,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Has `inner` read the folder again after each change. Changes that come while it reads
/// make it read once more: a burst costs no wait, and few readings.
pub(super) fn start(inner: &Arc<Inner>) -> notify::Result<Watcher> {
    let changed = Arc::new(Notify::new());
    let notifier = Arc::clone(&changed);
    let mut events = notify::recommended_watcher(move |event: notify::Result<Event>| {
        if event.map_or(true, |event| matters(&event)) {
            notifier.notify_one();
        }
    })?;
    events.watch(&inner.root, RecursiveMode::Recursive)?;
    let task = tokio::spawn(follow(Arc::downgrade(inner), changed));
    Ok(Watcher { _events: events, task })
}

/// Reading makes events too, which must not make us read again; and half-written files,
/// whose names begin with a dot, which will be renamed.
fn matters(event: &Event) -> bool {
    let hidden = |path: &PathBuf| path.file_name().is_some_and(scan::is_hidden);
    match event.kind {
        EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write) => false,
        _ => event.paths.is_empty() || !event.paths.iter().all(hidden),
    }
}

async fn follow(inner: Weak<Inner>, changed: Arc<Notify>) {
    loop {
        // Either way it is time to look.
        let _ = tokio::time::timeout(ANYWAY, changed.notified()).await;
        let Some(inner) = inner.upgrade() else { return };
        if let Err(error) = inner.blocking(|inner| inner.reload(&mut inner.lock())).await {
            tracing::error!(%error, "reading the configuration folder failed");
        }
    }
}
