//! From changes to snapshots.

use std::sync::Arc;
use std::time::Duration;

use mesh_model::Snapshot;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::state::{State, Urgency};
use super::{Change, Inner, View};

/// One change goes out at once; of many that come in a burst, each snapshot waits so long
/// after the one before it, and takes with it what came meanwhile.
pub(super) const BETWEEN: Duration = Duration::from_millis(20);
/// The same when requests may go where nobody is.
const BETWEEN_REMOVALS: Duration = Duration::from_millis(2);

/// Takes in changes and publishes, until nobody sends any more.
pub(super) async fn run(inner: Arc<Inner>, mut state: State, mut changes: mpsc::Receiver<Change>) {
    let mut last: Option<Instant> = None;
    while let Some(change) = changes.recv().await {
        let mut urgency = state.take(change);
        loop {
            while let Ok(change) = changes.try_recv() {
                urgency = urgency.min(state.take(change));
            }
            let due = last.map(|last| last + between(urgency));
            let Some(due) = due.filter(|due| *due > Instant::now()) else { break };
            tokio::select! {
                () = tokio::time::sleep_until(due) => {}
                change = changes.recv() => match change {
                    Some(change) => urgency = urgency.min(state.take(change)),
                    None => return,
                },
            }
        }
        inner.publish(&mut state);
        last = Some(Instant::now());
    }
}

fn between(urgency: Urgency) -> Duration {
    match urgency {
        Urgency::Removal => BETWEEN_REMOVALS,
        Urgency::Other => BETWEEN,
    }
}

impl Inner {
    fn publish(&self, state: &mut State) {
        if state.missing().is_empty() {
            self.publish_snapshot(state);
        }
        let view = View {
            refused: state.refused(),
            unwatched: state.unwatched(),
            rules: Arc::clone(&state.rules_view),
        };
        let former = self.view.swap(Arc::new(view));
        let view = self.view.load();
        for problem in view.refused.iter().filter(|problem| !former.refused.contains(problem)) {
            warn!(%problem, "refused; the last good version stays in force");
        }
        self.viewed.send_replace(());
    }

    fn publish_snapshot(&self, state: &mut State) {
        let current = self.snapshots.borrow().version();
        let next = Snapshot::new(current + 1, state.contents().clone());
        let changed = self.snapshots.send_if_modified(|snapshot| {
            let changed = current == 0 || snapshot.contents() != next.contents();
            if changed {
                *snapshot = Arc::new(next);
            }
            changed
        });
        if changed {
            // A busy cluster does little else.
            debug!(version = current + 1, "the mesh changed");
        }
    }
}
