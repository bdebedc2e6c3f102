//! Gets the certificate, and another one before it ends.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, SystemTime};

use mesh_tls::{Identity, Moment, Renewal};
use mesh_xds::client::Backoff;

use super::ca::CertificateAuthority;
use super::secrets::Keeper;

/// Between two attempts at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// The last part of a life in which a failed renewal is an error, no more a warning.
const LAST_PART: u32 = 6;

/// Keeps a certificate that is valid; never ends.
pub(super) async fn run(ca: CertificateAuthority, keeper: Keeper) {
    keeper.has_roots().await;
    let mut current = None;
    loop {
        let identity = obtain(&ca, &keeper, current.as_ref()).await;
        let renewal = note(&identity);
        current = Some(Life::new(&identity));
        keeper.set_identity(identity);
        due(&renewal).await;
    }
}

/// One attempt after the other. Each takes the token and the roots as they are then; every
/// other one shows the certificate that there is.
async fn obtain(ca: &CertificateAuthority, keeper: &Keeper, current: Option<&Life>) -> Identity {
    let mut backoff = Backoff::new(FIRST_WAIT, LONGEST_WAIT);
    let mut show = true;
    loop {
        match ca.ask(keeper, show).await {
            Ok(identity) => return identity,
            Err(error) => complain(current, &error.to_string()),
        }
        show = !show;
        let longest = current.map_or(LONGEST_WAIT, |life| life.patience(SystemTime::now()));
        tokio::time::sleep(backoff.next_wait().min(longest)).await;
    }
}

/// The time comes when either clock says so.
async fn due(renewal: &Renewal) {
    loop {
        let wait = renewal.wait(Moment::now());
        if wait.is_zero() {
            return;
        }
        tokio::time::sleep(wait).await;
    }
}

fn note(identity: &Identity) -> Renewal {
    let now = Moment::now();
    // The standard library's hash keys are random for each `RandomState`.
    let jitter = RandomState::new().hash_one(0) as f64 / u64::MAX as f64;
    let renewal = Renewal::new(identity.not_before(), identity.not_after(), now, jitter);
    let serial = &identity.credentials().details().serial;
    let lasts = identity.not_after().duration_since(now.wall).unwrap_or_default();
    tracing::info!(id = %identity.id(), serial, lasts_s = lasts.as_secs(), "a new certificate");
    if renewal.clock_is_wrong() {
        tracing::error!(
            "the certificate is not valid now by this machine's clock, which is wrong, or the \
             authority's is: others will refuse it until the clock is set"
        );
    }
    renewal
}

/// The life of the certificate in use.
struct Life {
    /// When it came, not from when it is valid: that is earlier, as clocks differ.
    start: SystemTime,
    end: SystemTime,
}

impl Life {
    fn new(identity: &Identity) -> Self {
        Self { start: SystemTime::now(), end: identity.not_after() }
    }

    /// How long to wait between two attempts at most: the last part is not slept through.
    fn patience(&self, now: SystemTime) -> Duration {
        match self.end.duration_since(now) {
            Ok(left) if !left.is_zero() => (left / 4).max(FIRST_WAIT).min(LONGEST_WAIT),
            _ => LONGEST_WAIT,
        }
    }

    fn urgency(&self, now: SystemTime) -> Urgency {
        let life = self.end.duration_since(self.start).unwrap_or_default();
        match self.end.duration_since(now) {
            Ok(left) if left > life / LAST_PART => Urgency::None(left),
            Ok(left) if !left.is_zero() => Urgency::Soon(left),
            _ => Urgency::Over,
        }
    }
}

fn complain(current: Option<&Life>, error: &str) {
    let Some(current) = current else {
        tracing::warn!("no certificate yet: {error}");
        return;
    };
    match current.urgency(SystemTime::now()) {
        Urgency::None(left) => {
            tracing::warn!(left_s = left.as_secs(), "the certificate is not renewed: {error}");
        }
        Urgency::Soon(left) => tracing::error!(
            left_s = left.as_secs(),
            "the certificate ENDS SOON and is not renewed: {error}"
        ),
        Urgency::Over => tracing::error!(
            "the certificate HAS ENDED, others refuse it, and it is not renewed: {error}"
        ),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Urgency {
    None(Duration),
    Soon(Duration),
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_told_ever_louder() {
        let start = SystemTime::UNIX_EPOCH;
        let at = |seconds| start + Duration::from_secs(seconds);
        let life = Life { start, end: at(600) };
        let of = |now| life.urgency(at(now));
        assert_eq!(of(400), Urgency::None(Duration::from_secs(200)));
        assert_eq!(of(500), Urgency::Soon(Duration::from_secs(100)));
        assert_eq!(of(600), Urgency::Over);
        assert_eq!(of(10_000), Urgency::Over);
        let patience = |now| life.patience(at(now)).as_millis();
        assert_eq!([0, 580, 599, 600].map(patience), [10_000, 5_000, 250, 10_000]);
    }
}
