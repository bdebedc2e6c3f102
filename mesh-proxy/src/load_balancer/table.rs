//! The hosts of policies that hash.

use std::sync::Arc;

use super::maglev::Maglev;
use super::ring_hash::Ring;
use super::weights::Weighted;
use super::{Choice, OTHER_HOST_ATTEMPTS, bounded};
use crate::config::{LbPolicy, LoadBalancing};
use crate::endpoint::Endpoint;

/// A table over hosts, and the hosts.
#[derive(Debug)]
pub(super) struct Table {
    hosts: Box<[Weighted]>,
    lookup: Lookup,
}

#[derive(Debug)]
enum Lookup {
    Ring(Ring),
    Maglev(Maglev),
}

/// What Envoy tells of a table, by the names of its statistics.
pub(crate) type TableStats = Vec<(&'static str, u64)>;

impl Table {
    /// `None` without hosts, or when the policy does not hash.
    pub(super) fn new(policy: &LbPolicy, hosts: Vec<Weighted>) -> Option<Self> {
        if hosts.is_empty() {
            return None;
        }
        let lookup = match policy {
            LbPolicy::RingHash(settings) => Lookup::Ring(Ring::new(&hosts, settings)),
            LbPolicy::Maglev { table_size } => Lookup::Maglev(Maglev::new(&hosts, *table_size)),
            _ => return None,
        };
        Some(Self { hosts: hosts.into(), lookup })
    }

    /// The host for a hash, if possible not one of those that were tried.
    pub(super) fn pick(
        &self,
        lb: &LoadBalancing,
        hash: u64,
        choice: &Choice<'_>,
    ) -> Option<&Arc<Endpoint>> {
        let mut picked = None;
        for attempt in 0..=OTHER_HOST_ATTEMPTS {
            let host = self.host(lb, hash, attempt)?;
            if !choice.tried.contains(&host.id) {
                return Some(host);
            }
            picked = Some(host);
        }
        let mut all = self.hosts.iter().map(|host| &host.endpoint);
        all.find(|host| !choice.tried.contains(&host.id)).or(picked)
    }

    fn host(&self, lb: &LoadBalancing, hash: u64, attempt: u32) -> Option<&Arc<Endpoint>> {
        let index = match &self.lookup {
            Lookup::Ring(ring) => ring.host(hash, attempt)?,
            Lookup::Maglev(maglev) => maglev.host(hash, attempt)?,
        };
        let index = match lb.hashing.balance_factor {
            Some(factor) => bounded::host(&self.hosts, index, hash, factor),
            None => index,
        };
        self.hosts.get(index).map(|host| &host.endpoint)
    }

    pub(super) fn stats(&self) -> TableStats {
        match &self.lookup {
            Lookup::Ring(ring) => vec![
                ("ring_hash_lb.size", ring.size()),
                ("ring_hash_lb.min_hashes_per_host", ring.per_host.0),
                ("ring_hash_lb.max_hashes_per_host", ring.per_host.1),
            ],
            Lookup::Maglev(maglev) => vec![
                ("maglev_lb.min_entries_per_host", maglev.per_host.0),
                ("maglev_lb.max_entries_per_host", maglev.per_host.1),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HashFunction, RingHash};

    fn table(policy: LbPolicy, parts: &[f64]) -> (LoadBalancing, Table) {
        let host = |(at, part): (usize, &f64)| {
            let address = ([127, 0, 0, 1], 90 + at as u16).into();
            let endpoint = Arc::new(Endpoint::new(address, None, None));
            Weighted { endpoint, key: address.to_string().into(), part: *part }
        };
        let hosts = parts.iter().enumerate().map(host).collect();
        (LoadBalancing::by(policy), Table::new(&policy, hosts).unwrap())
    }

    fn ring(minimum: u64, maximum: u64) -> LbPolicy {
        LbPolicy::RingHash(RingHash { minimum, maximum, function: HashFunction::Xx })
    }

    fn ports(lb: &LoadBalancing, table: &Table, hashes: &[u64]) -> Vec<u16> {
        let port = |hash: &u64| table.pick(lb, *hash, &Choice::default()).unwrap().address.port();
        hashes.iter().map(port).collect()
    }

    /// Envoy's own example ring (`RingHashLoadBalancerTest.Basic`): six hosts at ports 90 to
    /// 95, and where each hash of a ring of twelve leads.
    #[test]
    fn a_ring_is_envoys() {
        let (lb, table) = table(ring(12, 8 << 20), &[1.0 / 6.0; 6]);
        assert_eq!(
            ports(
                &lb,
                &table,
                &[
                    0,
                    u64::MAX,
                    3_551_244_743_356_806_947,
                    3_551_244_743_356_806_948,
                    16_117_243_373_044_804_880
                ]
            ),
            [94, 94, 95, 93, 90]
        );
        let size = table.stats();
        assert_eq!(size.iter().map(|(_, value)| *value).collect::<Vec<_>>(), [12, 2, 2]);
    }

    #[test]
    fn parts_decide_how_often_a_host_is_in_a_table() {
        let (_, ring) = table(ring(3, 3), &[0.5, 0.25, 0.25]);
        assert_eq!(ring.stats()[0].1, 3);
        let (lb, maglev) = table(LbPolicy::Maglev { table_size: 17 }, &[2.0 / 3.0, 1.0 / 3.0]);
        let all: Vec<_> = (0..17).collect();
        let first = ports(&lb, &maglev, &all).iter().filter(|port| **port == 90).count();
        assert_eq!(first, 11);
        assert_eq!(maglev.stats()[0].1, 6);
    }

    #[test]
    fn a_retry_goes_on() {
        for policy in [ring(1024, 8 << 20), LbPolicy::Maglev { table_size: 65_537 }] {
            let (lb, table) = table(policy, &[0.5, 0.5]);
            for hash in [1, 77, u64::MAX / 2] {
                let first = table.pick(&lb, hash, &Choice::default()).unwrap().id;
                let choice = Choice { tried: &[first], ..Choice::default() };
                assert_ne!(table.pick(&lb, hash, &choice).unwrap().id, first);
            }
        }
    }
}
