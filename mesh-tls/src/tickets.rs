//! Session tickets that are good for an hour, so that a resumed session does not go on
//! for long after the certificate that it began with.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::ProducesTickets;

const LIFETIME: Duration = Duration::from_secs(3600);
const STAMP: usize = 8;

/// Made by a new random key, so that only the configuration it is put into takes them.
pub(crate) fn tickets() -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    Ok(Arc::new(Bounded { inner: Ticketer::new()? }))
}

#[derive(Debug)]
struct Bounded {
    inner: Arc<dyn ProducesTickets>,
}

impl ProducesTickets for Bounded {
    fn enabled(&self) -> bool {
        self.inner.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.inner.lifetime().min(LIFETIME.as_secs() as u32)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.inner.encrypt(&stamped(seconds(SystemTime::now()), plain))
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        fresh(seconds(SystemTime::now()), &self.inner.decrypt(cipher)?)
    }
}

fn seconds(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

fn stamped(now: u64, plain: &[u8]) -> Vec<u8> {
    [&now.to_be_bytes(), plain].concat()
}

/// What was stamped, if that was in the last hour; a clock set back makes it stale too.
fn fresh(now: u64, stamped: &[u8]) -> Option<Vec<u8>> {
    let (stamp, plain) = stamped.split_first_chunk::<STAMP>()?;
    let age = now.checked_sub(u64::from_be_bytes(*stamp))?;
    (age <= LIFETIME.as_secs()).then(|| plain.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_for_its_maker_and_for_an_hour() {
        let (one, other) = (tickets().unwrap(), tickets().unwrap());
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(one.decrypt(&ticket).unwrap(), b"session");
        assert_eq!(other.decrypt(&ticket), None);
        let old = stamped(10_000, b"session");
        assert_eq!(fresh(13_600, &old).unwrap(), b"session");
        assert_eq!(fresh(13_601, &old), None);
        assert_eq!(fresh(9_999, &old), None);
        assert_eq!(fresh(9_999, b"short"), None);
    }
}
