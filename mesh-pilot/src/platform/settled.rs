//! What is decided about a mesh of which not all is known yet.

use std::time::Duration;

use tokio::sync::watch;

/// Who writes one object after the other asks about the next one before this pilot knows of the
/// last. What lacks something is looked at again for so long.
const SOON: Duration = Duration::from_millis(500);

/// What `decide` says, at once when that `is_good`, and otherwise again after each change that
/// comes soon.
pub(crate) async fn settled<T, D>(
    mut changes: watch::Receiver<T>,
    is_good: impl Fn(&D) -> bool,
    decide: impl Fn() -> D,
) -> D {
    changes.mark_unchanged();
    let mut decision = decide();
    let settle = async {
        while !is_good(&decision) && changes.changed().await.is_ok() {
            decision = decide();
        }
    };
    // What is missing even then may come much later.
    let _ = tokio::time::timeout(SOON, settle).await;
    decision
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_comes_a_moment_later_is_not_missed() {
        let (mesh, seen) = watch::channel(0);
        let late = async {
            for version in 1..=2 {
                tokio::time::sleep(SOON / 4).await;
                mesh.send(version).unwrap();
            }
        };
        let now = seen.clone();
        let (decision, ()) =
            tokio::join!(settled(seen, |version| *version == 2, || *now.borrow()), late);
        assert_eq!(decision, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_come_is_said() {
        let (_mesh, seen) = watch::channel(0);
        assert_eq!(settled(seen, |_| false, || "no Gateway").await, "no Gateway");
    }
}
