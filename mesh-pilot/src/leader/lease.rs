//! What is to be done with a lease, by what it says and for how long it has said so.
//!
//! The clocks of machines differ: a lease has run out when nobody has renewed it for as long
//! as it lasts by our own clock, whatever times are written in it. As client-go does it.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;

/// For how long a lease lasts that nobody renews.
pub(super) const LASTS: Duration = Duration::from_secs(15);

/// What to do.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// There is none: make this one.
    Create(Box<Lease>),
    /// Put this one in its place: it is ours, or becomes ours.
    Replace(Box<Lease>),
    /// Somebody has it.
    Wait,
}

/// A lease, and since when it is as it is.
#[derive(Debug)]
pub(super) struct Seen {
    lease: Lease,
    since: Instant,
}

impl Seen {
    /// What is seen now, after what was seen before.
    pub(super) fn now(before: Option<Self>, lease: Lease, now: Instant) -> Self {
        match before {
            Some(before) if before.lease.metadata == lease.metadata => before,
            _ => Self { lease, since: now },
        }
    }

    fn has_run_out(&self, now: Instant) -> bool {
        let spec = self.lease.spec.as_ref();
        let seconds = spec.and_then(|spec| spec.lease_duration_seconds);
        let lasts = seconds.and_then(|seconds| u64::try_from(seconds).ok());
        let lasts = lasts.map_or(LASTS, Duration::from_secs);
        now.saturating_duration_since(self.since) >= lasts
    }
}

/// Who has it; empty: nobody.
pub(super) fn holder(lease: &Lease) -> &str {
    let spec = lease.spec.as_ref();
    spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
}

pub(super) fn step(seen: Option<&Seen>, name: &str, me: &str, now: Instant) -> Step {
    let Some(seen) = seen else {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        return Step::Create(Box::new(Lease { metadata, spec: Some(held(None, me)) }));
    };
    let holder = holder(&seen.lease);
    if holder != me && !holder.is_empty() && !seen.has_run_out(now) {
        return Step::Wait;
    }
    let spec = Some(held(seen.lease.spec.as_ref(), me));
    Step::Replace(Box::new(Lease { spec, ..seen.lease.clone() }))
}

/// Given back: the next one need not wait.
pub(super) fn released(lease: Lease) -> Lease {
    let spec = LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(1),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..lease.spec.unwrap_or_default()
    };
    Lease { spec: Some(spec), ..lease }
}

fn held(former: Option<&LeaseSpec>, me: &str) -> LeaseSpec {
    let now = Some(MicroTime(Timestamp::now()));
    let former = former.cloned().unwrap_or_default();
    let mine = former.holder_identity.as_deref() == Some(me);
    let transitions = former.lease_transitions.unwrap_or_default();
    LeaseSpec {
        holder_identity: Some(me.to_owned()),
        lease_duration_seconds: i32::try_from(LASTS.as_secs()).ok(),
        acquire_time: if mine { former.acquire_time } else { now.clone() },
        renew_time: now,
        lease_transitions: Some(if mine { transitions } else { transitions.saturating_add(1) }),
        ..former
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the API server keeps it.
    fn kept(step: Step, version: &str) -> Lease {
        let (Step::Create(mut lease) | Step::Replace(mut lease)) = step else {
            panic!("nothing to keep")
        };
        lease.metadata.resource_version = Some(version.to_owned());
        *lease
    }

    #[test]
    fn who_has_it_keeps_it_while_it_is_renewed() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let lease = kept(step(None, "l", "a", start), "1");
        assert_eq!(holder(&lease), "a");
        let seen = Seen::now(None, lease.clone(), start);
        assert_eq!(step(Some(&seen), "l", "b", after(14)), Step::Wait);
        let renewed = kept(step(Some(&seen), "l", "a", after(2)), "2");
        assert_eq!(renewed.spec.as_ref().unwrap().lease_transitions, Some(1));

        // Seen by another: unchanged for as long as it lasts, it has run out.
        let seen = Seen::now(Some(seen), renewed.clone(), after(2));
        let seen = Seen::now(Some(seen), renewed, after(16));
        assert_eq!(step(Some(&seen), "l", "b", after(16)), Step::Wait);
        let taken = kept(step(Some(&seen), "l", "b", after(17)), "3");
        let spec = taken.spec.as_ref().unwrap();
        assert_eq!((holder(&taken), spec.lease_transitions), ("b", Some(2)));
        assert_eq!(taken.metadata.name.as_deref(), Some("l"));
    }

    #[test]
    fn what_was_given_back_is_taken_at_once() {
        let start = Instant::now();
        let lease = released(kept(step(None, "l", "a", start), "1"));
        let seen = Seen::now(None, lease, start);
        assert_eq!(holder(&kept(step(Some(&seen), "l", "b", start), "2")), "b");
    }
}
