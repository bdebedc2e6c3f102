//! Bounded loads for policies that hash (`hash_balance_factor`): "Consistent Hashing with
//! Bounded Loads" (arXiv:1608.01350), going on from a busy host by chance (arXiv:1908.08762).

use super::weights::Weighted;

/// The host, or when it has more than its share of the requests at work, the first that has
/// not, in an order that depends on the hash alone; when none has, the least loaded. `factor`
/// is in percent.
pub(super) fn host(hosts: &[Weighted], first: usize, hash: u64, factor: u32) -> usize {
    let active = |host: &Weighted| host.endpoint.active_requests();
    let all = hosts.iter().map(active).sum::<u64>();
    let slots = ((all + 1) * u64::from(factor)).div_ceil(100) as f64;
    let load = |index: usize| {
        let host = &hosts[index];
        active(host) as f64 / (slots * host.part).ceil().max(1.0)
    };
    let mut best = (first, load(first));
    if best.1 <= 1.0 {
        return first;
    }
    let mut order: Vec<_> = (0..hosts.len()).collect();
    let mut random = Mersenne::new(hash as u32);
    for at in 0..order.len() {
        let other = at + random.below((order.len() - at) as u32) as usize;
        order.swap(at, other);
        let index = order[at];
        if index == first {
            continue;
        }
        let load = load(index);
        if load <= 1.0 {
            return index;
        }
        if load < best.1 {
            best = (index, load);
        }
    }
    best.0
}

/// MT19937 of 32 bits (Matsumoto and Nishimura, 1998), which C++ has as `std::mt19937`.
struct Mersenne {
    state: [u32; Self::SIZE],
    next: usize,
}

impl Mersenne {
    const SIZE: usize = 624;
    const SHIFT: usize = 397;

    fn new(seed: u32) -> Self {
        let mut state = [seed; Self::SIZE];
        for at in 1..Self::SIZE {
            let last = state[at - 1];
            state[at] = (last ^ (last >> 30)).wrapping_mul(1_812_433_253).wrapping_add(at as u32);
        }
        Self { state, next: Self::SIZE }
    }

    fn twist(&mut self) {
        for at in 0..Self::SIZE {
            let next = self.state[(at + 1) % Self::SIZE];
            let both = (self.state[at] & 0x8000_0000) | (next & 0x7fff_ffff);
            let odd = if both & 1 == 1 { 0x9908_b0df } else { 0 };
            self.state[at] = self.state[(at + Self::SHIFT) % Self::SIZE] ^ (both >> 1) ^ odd;
        }
        self.next = 0;
    }

    fn next(&mut self) -> u32 {
        if self.next == Self::SIZE {
            self.twist();
        }
        let mut value = self.state[self.next];
        self.next += 1;
        value ^= value >> 11;
        value ^= (value << 7) & 0x9d2c_5680;
        value ^= (value << 15) & 0xefc6_0000;
        value ^ (value >> 18)
    }

    /// Below `limit`, which is not zero: each as likely as the other.
    fn below(&mut self, limit: u32) -> u32 {
        let part = (1_u64 << 32) / u64::from(limit);
        loop {
            let value = (u64::from(self.next()) / part) as u32;
            if value < limit {
                return value;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hosts::test_hosts;
    use super::*;

    #[test]
    fn numbers_are_those_of_the_standard() {
        // C++, [rand.predef]: the 10000th value of a default-constructed mt19937.
        let mut random = Mersenne::new(5489);
        let last = (0..10_000).map(|_| random.next()).last();
        assert_eq!(last, Some(4_123_659_995));
    }

    #[test]
    fn a_busy_host_is_passed_over_always_in_the_same_order() {
        let hosts: Vec<_> = test_hosts(&[1, 1, 1, 1])
            .all()
            .iter()
            .map(|host| Weighted { endpoint: host.endpoint.clone(), key: "".into(), part: 0.25 })
            .collect();
        assert_eq!(host(&hosts, 2, 7, 125), 2);
        hosts[2].endpoint.test_active_requests(4);
        let next = host(&hosts, 2, 7, 125);
        assert_ne!(next, 2);
        assert!((0..10).all(|_| host(&hosts, 2, 7, 125) == next));
        hosts.iter().for_each(|host| host.endpoint.test_active_requests(9));
        hosts[3].endpoint.test_active_requests(8);
        // All at work, but less than twice the average.
        assert_eq!(host(&hosts, 2, 7, 200), 2);
        assert_eq!(host(&hosts, 2, 7, 100), host(&hosts, 2, 7, 100));
    }
}
