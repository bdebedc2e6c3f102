//! One root replaces another: which one signs, and which ones are trusted, at a time.
//!
//! 1. A new root is published beside the old one at once. The old one goes on signing.
//! 2. When the new one has been published for [`Timing::lead`], everybody has it, and it
//!    begins to sign.
//! 3. The old one stays published for [`Timing::overlap`] more, until everybody has renewed.
//!
//! A pilot that begins with a root that is not the first one published, where others still
//! sign with that, is itself at step 1: it publishes, and is not to be asked for the lead time.
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

/// What was published before this process began.
#[derive(Clone, Default)]
pub struct Earlier {
    /// The roots, the one that signs first.
    pub roots: Option<TrustBundle>,
    /// Whether other pilots may be there, who sign meanwhile.
    pub shared: bool,
}

/// Who signs and who is trusted now.
#[derive(Clone)]
pub struct Trust {
    /// Signs.
    pub authority: Arc<Authority>,
    /// The roots to publish, the signing one first.
    pub bundle: TrustBundle,
    /// Whether who signs has been published for long enough. Until then others are to be asked,
    /// and their root is the first one.
    pub is_known: bool,
}

/// The replacement of roots, step by step.
pub struct Rollover {
    timing: Timing,
    earlier: Earlier,
    current: Arc<Authority>,
    /// Everybody has its root from then on; none: all along.
    known: Option<Instant>,
    /// Published, and signs from then on.
    next: Option<(Arc<Authority>, Instant)>,
    /// Published until then.
    retiring: Vec<(TrustBundle, Instant)>,
}

impl Rollover {
    /// Begins with one authority. Of what was published earlier the roots that do not sign any
    /// more stay published for the overlap, as a restart must not cut it short.
    pub fn new(current: Arc<Authority>, earlier: Earlier, timing: Timing, now: Instant) -> Self {
        let roots = earlier.roots.iter().cloned();
        let retiring = roots.map(|roots| (roots, now + timing.overlap)).collect();
        let known = earlier.waits_for(&current).then(|| now + timing.lead);
        Self { timing, earlier, current, known, next: None, retiring }
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
        if self.known.is_some() {
            // It has signed nothing yet either, and leaves as it came.
            *self = Self::new(authority, self.earlier.clone(), self.timing, now);
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
        self.known.take_if(|known| *known <= now);
        if let Some((next, _)) = self.next.take_if(|(_, signs)| *signs <= now) {
            self.retiring.push((self.current.bundle(), now + self.timing.overlap));
            self.current = next;
        }
        self.retiring.retain(|(_, until)| *until > now);
    }

    /// When the next thing is due.
    pub fn due(&self) -> Option<Instant> {
        let retiring = self.retiring.iter().map(|(_, until)| *until);
        let next = self.next.iter().map(|(_, signs)| *signs);
        next.chain(self.known).chain(retiring).min()
    }

    /// Who signs and who is trusted.
    pub fn trust(&self) -> Trust {
        let next = self.next.iter().map(|(next, _)| next.bundle());
        let others = next.chain(self.retiring.iter().map(|(roots, _)| roots.clone()));
        let is_known = self.known.is_none();
        let first = match &self.earlier.roots {
            Some(roots) if !is_known => roots.merge(&self.current.bundle()),
            _ => self.current.bundle(),
        };
        let bundle = others.fold(first, |all, roots| all.merge(&roots));
        Trust { authority: Arc::clone(&self.current), bundle, is_known }
    }
}

impl Earlier {
    /// Whether others sign with another root, so that this one is not to be used yet.
    fn waits_for(&self, authority: &Authority) -> bool {
        let signed = self.roots.iter().flat_map(|roots| roots.roots().first());
        let own = authority.bundle();
        self.shared && signed.into_iter().any(|root| !own.roots().contains(root))
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
        let mut rollover = Rollover::new(Arc::clone(&old), Earlier::default(), TIMING, start);
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
        let mut rollover = Rollover::new(Arc::clone(&old), Earlier::default(), TIMING, start);
        rollover.offer(new, start);
        rollover.offer(Arc::clone(&old), start + MINUTE);
        assert_eq!((roots(&rollover), rollover.due()), (1, None));
        assert!(signs(&rollover, &old));
    }

    #[test]
    fn a_third_root_takes_the_place_of_the_second_and_waits_its_own_time() {
        let (old, start) = (authority(), Instant::now());
        let mut rollover = Rollover::new(old, Earlier::default(), TIMING, start);
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
        let earlier = Earlier { roots: Some(earlier), shared: false };
        let mut rollover = Rollover::new(Arc::clone(&new), earlier, TIMING, start);
        rollover.tick(start);
        assert!(signs(&rollover, &new));
        assert_eq!(roots(&rollover), 2);
        rollover.tick(start + TIMING.overlap);
        assert_eq!(roots(&rollover), 1);
    }

    /// A pilot that begins with a root where another one signed; what it publishes first.
    fn among_others(old: &Authority, new: &Arc<Authority>, start: Instant) -> Rollover {
        let earlier = Earlier { roots: Some(old.bundle()), shared: true };
        Rollover::new(Arc::clone(new), earlier, TIMING, start)
    }

    #[test]
    fn a_pilot_that_begins_with_a_new_root_publishes_it_before_it_is_asked() {
        let (old, new, start) = (authority(), authority(), Instant::now());
        let mut rollover = among_others(&old, &new, start);
        rollover.tick(start);
        let trust = rollover.trust();
        let both = old.bundle().merge(&new.bundle());
        assert!(!trust.is_known && trust.bundle == both, "who signs comes first");
        assert_eq!(rollover.due(), Some(start + TIMING.lead));
        // So does one that begins a moment later.
        let earlier = Earlier { roots: Some(both), shared: true };
        assert!(!Rollover::new(Arc::clone(&new), earlier, TIMING, start).trust().is_known);

        rollover.tick(start + TIMING.lead);
        let trust = rollover.trust();
        assert!(trust.is_known && trust.bundle == new.bundle().merge(&old.bundle()));
        rollover.tick(start + TIMING.overlap);
        assert_eq!((roots(&rollover), rollover.due()), (1, None));
    }

    #[test]
    fn a_root_that_signs_already_or_is_the_first_one_is_not_waited_for() {
        let (old, new, start) = (authority(), authority(), Instant::now());
        let shared = Earlier { roots: None, shared: true };
        assert!(Rollover::new(Arc::clone(&new), shared, TIMING, start).trust().is_known);
        let earlier = Earlier { roots: Some(new.bundle().merge(&old.bundle())), shared: true };
        assert!(Rollover::new(new, earlier, TIMING, start).trust().is_known);
    }

    #[test]
    fn what_is_taken_back_while_nobody_was_asked_leaves_nothing() {
        let (old, new, start) = (authority(), authority(), Instant::now());
        let mut rollover = among_others(&old, &new, start);
        rollover.offer(authority(), start + MINUTE);
        assert_eq!(rollover.due(), Some(start + MINUTE + TIMING.lead), "its own time");
        rollover.offer(Arc::clone(&old), start + 2 * MINUTE);
        let trust = rollover.trust();
        assert!(trust.is_known && trust.bundle == old.bundle() && signs(&rollover, &old));
    }

    #[test]
    fn short_lives_make_short_steps() {
        let timing = Timing::for_lifetime(Duration::from_secs(10));
        assert_eq!((timing.lead.as_secs(), timing.overlap.as_secs()), (20, 20));
        assert_eq!(Timing::for_lifetime(Duration::from_secs(86_400)).lead.as_secs(), 300);
    }
}
