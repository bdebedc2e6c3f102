//! One root replaces another: which one signs, and which ones are trusted, at a time.
//!
//! 1. A new root is published beside the old one at once. The old one goes on signing.
//! 2. When the new one has been published for [`Timing::lead`], everybody has it, and it
//!    begins to sign.
//! 3. The old one stays published for [`Timing::overlap`] more, until everybody has renewed.
//!
//! An authority with the same root as the one that signs (a new intermediate) takes its
//! place at once. A state and steps, without clocks of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_tls::{Authority, TrustBundle};

/// How long the steps take.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// From a root's being published to its first signature.
    pub lead: Duration,
    /// For how long the old root is published after its last signature.
    pub overlap: Duration,
}

impl Timing {
    /// Kubelet writes a changed ConfigMap into pods within two minutes.
    const LEAD: Duration = Duration::from_secs(5 * 60);

    /// For certificates that live at most so long.
    pub fn for_lifetime(longest: Duration) -> Self {
        let overlap = longest * 2;
        Self { lead: Self::LEAD.min(overlap), overlap }
    }
}

/// Who signs and who is trusted now.
#[derive(Clone)]
pub struct Trust {
    /// Signs.
    pub authority: Arc<Authority>,
    /// The roots to publish, the signing one first.
    pub bundle: TrustBundle,
}

/// The replacement of roots, step by step.
pub struct Rollover {
    timing: Timing,
    current: Arc<Authority>,
    /// Published, and signs from then on.
    next: Option<(Arc<Authority>, Instant)>,
    /// Published until then.
    retiring: Vec<(TrustBundle, Instant)>,
}

impl Rollover {
    /// Begins with one authority. `earlier` is what was published before this process began:
    /// those of its roots that do not sign any more stay published for the overlap, as a
    /// restart must not cut it short.
    pub fn new(
        current: Arc<Authority>,
        earlier: Option<TrustBundle>,
        timing: Timing,
        now: Instant,
    ) -> Self {
        let retiring = earlier.map(|roots| (roots, now + timing.overlap)).into_iter().collect();
        Self { timing, current, next: None, retiring }
    }

    /// Takes the authority that is kept now. It may be the same as before.
    pub fn offer(&mut self, authority: Arc<Authority>, now: Instant) {
        let root = authority.root_pem();
        if root == self.current.root_pem() {
            // Nothing was signed by one that was to come and comes no more.
            self.next = None;
            self.current = authority;
            return;
        }
        let since = match self.next.take() {
            Some((next, signs)) if next.root_pem() == root => signs,
            _ => now + self.timing.lead,
        };
        self.next = Some((authority, since));
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        if let Some((next, _)) = self.next.take_if(|(_, signs)| *signs <= now) {
            self.retiring.push((self.current.bundle(), now + self.timing.overlap));
            self.current = next;
        }
        self.retiring.retain(|(_, until)| *until > now);
    }

    /// When the next thing is due.
    pub fn due(&self) -> Option<Instant> {
        let retiring = self.retiring.iter().map(|(_, until)| *until);
        self.next.iter().map(|(_, signs)| *signs).chain(retiring).min()
    }

    /// Who signs and who is trusted.
    pub fn trust(&self) -> Trust {
        let next = self.next.iter().map(|(next, _)| next.bundle());
        let others = next.chain(self.retiring.iter().map(|(roots, _)| roots.clone()));
        let bundle = others.fold(self.current.bundle(), |all, roots| all.merge(&roots));
        Trust { authority: Arc::clone(&self.current), bundle }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const TIMING: Timing =
        Timing { lead: Duration::from_secs(300), overlap: Duration::from_secs(7200) };

    fn authority() -> Arc<Authority> {
        let life = Duration::from_secs(1_000_000);
        Arc::new(Authority::create("cluster.local", life, SystemTime::now()).unwrap())
    }

    fn roots(rollover: &Rollover) -> usize {
        rollover.trust().bundle.roots().len()
    }

    fn signs(rollover: &Rollover, authority: &Authority) -> bool {
        rollover.trust().authority.root_pem() == authority.root_pem()
    }

    #[test]
    fn a_new_root_is_published_first_signs_then_and_the_old_one_leaves_last() {
        let (old, new, start) = (authority(), authority(), Instant::now());
        let mut rollover = Rollover::new(Arc::clone(&old), None, TIMING, start);
        assert_eq!((roots(&rollover), rollover.due()), (1, None));

        rollover.offer(Arc::clone(&new), start);
        rollover.tick(start);
        assert!(signs(&rollover, &old));
        assert_eq!((roots(&rollover), rollover.due()), (2, Some(start + TIMING.lead)));

        // Read again meanwhile, it does not begin anew.
        rollover.offer(Arc::clone(&new), start + 4 * MINUTE);
        rollover.tick(start + 4 * MINUTE);
        assert!(signs(&rollover, &old));
        let switch = start + TIMING.lead;
        rollover.tick(switch);
        assert!(signs(&rollover, &new));
        assert_eq!((roots(&rollover), rollover.due()), (2, Some(switch + TIMING.overlap)));

        rollover.tick(switch + TIMING.overlap);
        assert!(signs(&rollover, &new));
        assert_eq!((roots(&rollover), rollover.due()), (1, None));
    }

    #[test]
    fn what_is_taken_back_before_it_signed_leaves_at_once() {
        let (old, new, start) = (authority(), authority(), Instant::now());
        let mut rollover = Rollover::new(Arc::clone(&old), None, TIMING, start);
        rollover.offer(new, start);
        rollover.offer(Arc::clone(&old), start + MINUTE);
        assert_eq!((roots(&rollover), rollover.due()), (1, None));
        assert!(signs(&rollover, &old));
    }

    #[test]
    fn a_third_root_takes_the_place_of_the_second_and_waits_its_own_time() {
        let (old, start) = (authority(), Instant::now());
        let mut rollover = Rollover::new(old, None, TIMING, start);
        rollover.offer(authority(), start);
        let third = authority();
        rollover.offer(Arc::clone(&third), start + MINUTE);
        rollover.tick(start + TIMING.lead);
        assert!(!signs(&rollover, &third));
        rollover.tick(start + MINUTE + TIMING.lead);
        assert!(signs(&rollover, &third));
    }

    #[test]
    fn a_restart_does_not_cut_the_overlap_short() {
        let (old, new, start) = (authority(), authority(), Instant::now());
        let earlier = old.bundle().merge(&new.bundle());
        let mut rollover = Rollover::new(Arc::clone(&new), Some(earlier), TIMING, start);
        rollover.tick(start);
        assert!(signs(&rollover, &new));
        assert_eq!(roots(&rollover), 2);
        rollover.tick(start + TIMING.overlap);
        assert_eq!(roots(&rollover), 1);
    }

    #[test]
    fn short_lives_make_short_steps() {
        let timing = Timing::for_lifetime(Duration::from_secs(10));
        assert_eq!((timing.lead.as_secs(), timing.overlap.as_secs()), (20, 20));
        assert_eq!(Timing::for_lifetime(Duration::from_secs(86_400)).lead.as_secs(), 300);
    }
}
