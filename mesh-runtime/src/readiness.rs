//! Whether the program may be given work.

use std::sync::{Arc, Mutex, PoisonError};

/// What the program still waits for. It is ready when nothing is left.
#[derive(Clone, Default)]
pub struct Readiness {
    pending: Arc<Mutex<Vec<&'static str>>>,
}

/// Something that must happen before the program is ready: done when dropped.
pub struct Pending {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// Registers something to wait for; `name` is what a reader of `/ready` sees.
    pub fn wait_for(&self, name: &'static str) -> Pending {
        self.lock().push(name);
        Pending { name, readiness: self.clone() }
    }

    /// What is still waited for; empty when ready.
    pub fn pending(&self) -> Vec<&'static str> {
        self.lock().clone()
    }

    /// Whether nothing is waited for.
    pub fn is_ready(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<&'static str>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        let mut pending = self.readiness.lock();
        if let Some(at) = pending.iter().position(|name| *name == self.name) {
            pending.remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ready_when_everything_is_done() {
        let readiness = Readiness::default();
        let (first, second) = (readiness.wait_for("identity"), readiness.wait_for("clusters"));
        assert_eq!(readiness.pending(), ["identity", "clusters"]);
        drop(first);
        assert!(!readiness.is_ready());
        drop(second);
        assert!(readiness.is_ready());
    }
}
