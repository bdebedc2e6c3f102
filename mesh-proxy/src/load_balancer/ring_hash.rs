//! RING_HASH: Ketama's ring, as Envoy builds it.

use super::weights::Weighted;
use crate::config::{HashFunction, RingHash};
use crate::hash;

/// Hashes in order, and whose each is.
#[derive(Debug)]
pub(super) struct Ring {
    hashes: Box<[u64]>,
    hosts: Box<[u32]>,
    /// The fewest and the most hashes of a host.
    pub(super) per_host: (u64, u64),
}

impl Ring {
    /// There must be at least one host.
    pub(super) fn new(hosts: &[Weighted], settings: &RingHash) -> Self {
        let least = hosts.iter().map(|host| host.part).fold(1.0, f64::min);
        // As many as give the host of the smallest part a whole number of hashes.
        let scale = ((least * settings.minimum as f64).ceil() / least).min(settings.maximum as f64);
        let mut ring = Vec::with_capacity(scale.ceil() as usize);
        let (mut fewest, mut most) = (u64::MAX, 0);
        let mut wanted = 0.0;
        for (index, host) in hosts.iter().enumerate() {
            wanted += scale * host.part;
            let mut count = 0;
            // Over all hosts: where the parts are no whole numbers, the sum still is right.
            while (ring.len() as f64) < wanted {
                let key = format!("{}_{count}", host.key);
                ring.push((hash_of(settings.function, key.as_bytes()), index as u32));
                count += 1;
            }
            fewest = fewest.min(count);
            most = most.max(count);
        }
        ring.sort_by_key(|(hash, _)| *hash);
        let (hashes, hosts): (Vec<_>, Vec<_>) = ring.into_iter().unzip();
        Self { hashes: hashes.into(), hosts: hosts.into(), per_host: (fewest, most) }
    }

    pub(super) fn size(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// The index of the host for a hash: the first on the ring from there on; `attempt` places
    /// further for another one, which may be the same again.
    pub(super) fn host(&self, hash: u64, attempt: u32) -> Option<usize> {
        let at = self.hashes.partition_point(|known| *known < hash);
        let at = (at % self.hashes.len().max(1) + attempt as usize) % self.hashes.len().max(1);
        self.hosts.get(at).map(|host| *host as usize)
    }
}

fn hash_of(function: HashFunction, key: &[u8]) -> u64 {
    match function {
        HashFunction::Xx => hash::xx64(key, 0),
        HashFunction::Murmur2 => hash::murmur2(key, hash::STD_SEED),
    }
}
