//! Follows files by reading them again and again: small ones, few, and mounted in ways that
//! tell of no change (a ConfigMap's are links to links).

use std::convert::Infallible;
use std::fmt::Display;
use std::time::Duration;

const EVERY: Duration = Duration::from_secs(1);

/// Calls `look` for ever. What it cannot do is said once, until it changes; what was there
/// before stays.
pub(super) async fn follow<E: Display>(mut look: impl FnMut() -> Result<(), E>) -> Infallible {
    let mut said = None;
    loop {
        match look() {
            Ok(()) => said = None,
            Err(error) => {
                let error = error.to_string();
                if said.as_ref() != Some(&error) {
                    tracing::error!("{error}");
                    said = Some(error);
                }
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}
