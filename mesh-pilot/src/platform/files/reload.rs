//! From the folder to a snapshot.

use std::sync::Arc;

use mesh_model::Snapshot;
use mesh_rules::Problem;

use super::state::State;
use super::{Inner, View, scan};

impl Inner {
    /// Reads the folder and publishes a snapshot if it means something new. Returns the
    /// version that is in force afterwards.
    pub(super) fn reload(&self, state: &mut State) -> u64 {
        let current = self.snapshots.borrow().version();
        let read = scan::scan(&self.root).map(|texts| state.take(texts));
        let read = read.map_err(|error| Problem {
            source: self.root.display().to_string(),
            path: String::new(),
            message: format!("the folder cannot be read: {error}"),
        });
        let (changed, folder) = match read {
            Ok(changed) => (changed, None),
            Err(problem) => (false, Some(problem)),
        };
        if changed || current == 0 || folder != state.folder {
            state.folder = folder;
            self.show(state);
        }
        if changed || current == 0 { self.publish(state) } else { current }
    }

    fn show(&self, state: &State) {
        let rules = state.rules.stored();
        let mut problems = state.problems.clone();
        problems.extend(state.folder.clone());
        let former = self.view.swap(Arc::new(View { problems, rules }));
        let view = self.view.load();
        for problem in view.problems.iter().filter(|problem| !former.problems.contains(problem)) {
            tracing::warn!(%problem, "refused; the last good version stays in force");
        }
    }

    fn publish(&self, state: &State) -> u64 {
        let current = self.snapshots.borrow().version();
        let next = Snapshot::new(current + 1, state.contents.clone());
        let changed = self.snapshots.send_if_modified(|snapshot| {
            let changed = current == 0 || snapshot.contents() != next.contents();
            if changed {
                *snapshot = Arc::new(next);
            }
            changed
        });
        if changed {
            tracing::info!(version = current + 1, "the mesh changed");
        }
        current + u64::from(changed)
    }
}
