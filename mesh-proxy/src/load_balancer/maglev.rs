//! MAGLEV: the table of "Maglev: A Fast and Reliable Software Network Load Balancer"
//! (Eisenbud et al., NSDI 2016, section 3.4), with weights as Envoy has them.

use super::weights::Weighted;
use crate::hash;

/// Whose each slot of the table is.
#[derive(Debug)]
pub(super) struct Maglev {
    slots: Box<[u32]>,
    /// The fewest and the most slots of a host.
    pub(super) per_host: (u64, u64),
}

/// A host that takes slots: its own order of all of them, and how far it got.
struct Taking {
    host: u32,
    offset: u64,
    skip: u64,
    next: u64,
    part: f64,
    /// It is its turn when so much of its part has come together.
    target: f64,
    count: u64,
}

impl Maglev {
    /// There must be at least one host; `size` is a prime number.
    pub(super) fn new(hosts: &[Weighted], size: u64) -> Self {
        let mut taking = takers(hosts, size);
        let most = hosts.iter().map(|host| host.part).fold(0.0, f64::max);
        let mut slots = vec![u32::MAX; size as usize];
        let mut left = size;
        let mut round = 1.0;
        while left > 0 {
            for one in &mut taking {
                if left == 0 {
                    break;
                }
                if round * one.part < one.target {
                    continue;
                }
                one.target += most;
                one.take(&mut slots);
                left -= 1;
            }
            round += 1.0;
        }
        let counts = || taking.iter().map(|one| one.count);
        let per_host = (counts().min().unwrap_or_default(), counts().max().unwrap_or_default());
        Self { slots: slots.into(), per_host }
    }

    /// The index of the host for a hash; a later `attempt` gives another slot.
    pub(super) fn host(&self, hash: u64, attempt: u32) -> Option<usize> {
        let hash = if attempt > 0 { hash ^ u64::from(attempt).wrapping_neg() } else { hash };
        let at = hash.checked_rem(self.slots.len() as u64)?;
        self.slots.get(at as usize).map(|host| *host as usize)
    }
}

/// The hosts in the order of their keys: the table must not depend on the order in which
/// they are known.
fn takers(hosts: &[Weighted], size: u64) -> Vec<Taking> {
    let mut order: Vec<_> = hosts.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
    let taking = |(index, host): (usize, &Weighted)| Taking {
        host: index as u32,
        offset: hash::xx64(host.key.as_bytes(), 0) % size,
        skip: hash::xx64(host.key.as_bytes(), 1) % (size - 1) + 1,
        next: 0,
        part: host.part,
        target: 0.0,
        count: 0,
    };
    order.into_iter().map(taking).collect()
}

impl Taking {
    /// Takes the next free slot in this host's order. There must be one.
    fn take(&mut self, slots: &mut [u32]) {
        loop {
            let at = (self.offset + self.skip * self.next) % slots.len() as u64;
            self.next += 1;
            let slot = &mut slots[at as usize];
            if *slot == u32::MAX {
                *slot = self.host;
                self.count += 1;
                return;
            }
        }
    }
}
