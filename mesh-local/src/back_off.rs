//! How long to wait before something that ended is started again.

use std::process::ExitStatus;
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_secs(30);
/// After running for this long it counts as healthy again.
const HEALTHY: Duration = Duration::from_secs(30);

/// Doubling delays.
#[derive(Debug)]
pub(crate) struct BackOff {
    next: Duration,
}

impl BackOff {
    pub(crate) fn new() -> Self {
        Self { next: FIRST }
    }

    /// The delay after a run of this length.
    pub(crate) fn delay(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY {
            self.next = FIRST;
        }
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST);
        delay
    }
}

/// `exit code 1`, `signal 9`.
pub(crate) fn describe(status: &std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, Some(signal)) => format!("signal {signal}"),
            (None, None) => status.to_string(),
        },
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_limit_and_start_again_after_a_healthy_run() {
        let mut back_off = BackOff::new();
        assert_eq!(back_off.delay(Duration::ZERO), FIRST);
        assert_eq!(back_off.delay(Duration::ZERO), FIRST * 2);
        for _ in 0..20 {
            back_off.delay(Duration::ZERO);
        }
        assert_eq!(back_off.delay(Duration::ZERO), LONGEST);
        assert_eq!(back_off.delay(HEALTHY), FIRST);
    }
}
