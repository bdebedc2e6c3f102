//! Waiting for a state.

use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::local_mesh::stopped;

/// Between two questions. Most start a kubectl, which takes a good part of a core for a moment.
pub(super) const POLL: Duration = Duration::from_millis(250);

/// How often it is said what is waited for.
const REPORT: Duration = Duration::from_secs(10);

/// Asks until there is no error, with a pause after each time, and gives the answer.
///
/// # Errors
/// The last one, after `deadline`; and when `stop` is set.
pub(super) fn until<T>(
    what: &str,
    deadline: Duration,
    pause: Duration,
    stop: &AtomicBool,
    mut ask: impl FnMut() -> Result<T>,
) -> Result<T> {
    let start = Instant::now();
    let mut reported = start;
    loop {
        ensure!(!stopped(stop), "stopped while waiting for {what}");
        let why = match ask() {
            Ok(answer) => return Ok(answer),
            Err(why) => why,
        };
        if start.elapsed() > deadline {
            return Err(why.context(format!("waiting for {what}: not after {deadline:?}")));
        }
        if reported.elapsed() > REPORT {
            reported = Instant::now();
            let seconds = start.elapsed().as_secs();
            eprintln!("   {seconds:>3} s, waiting for {what}: {why:#}");
        }
        std::thread::sleep(pause);
    }
}
