//! Waiting for a state instead of for a time.

use std::time::{Duration, Instant};

/// Long enough for a slow machine under load; a test that passes never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(10);

/// Asks until there is an answer, and gives it.
///
/// # Panics
/// After [`DEADLINE`], with `what` was waited for.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "after {DEADLINE:?} still waiting for: {what}");
        std::thread::sleep(PAUSE);
    }
}

/// [`eventually`] for tests with a runtime.
///
/// # Panics
/// After [`DEADLINE`], with `what` was waited for.
pub async fn eventually_async<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(start.elapsed() < DEADLINE, "after {DEADLINE:?} still waiting for: {what}");
        tokio::time::sleep(PAUSE).await;
    }
}
