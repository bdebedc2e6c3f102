//! Ports that nobody listens on.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the kernel gives to connections and to listeners without one (Linux:
/// 32768 and up, `net.ipv4.ip_local_port_range`): one of those is soon somebody else's.
const FIRST: u16 = 16384;
const COUNT: u16 = 32768 - FIRST;

/// How many ports this process has tried.
static TRIED: AtomicU16 = AtomicU16::new(0);

/// A TCP port that is free on 127.0.0.1, and that no other call gives in this process. Another
/// process gets it only by asking for it by its number.
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_port() -> u16 {
    // Processes that run at once begin at different places.
    let begin = std::process::id().wrapping_mul(7919);
    (0..COUNT)
        .map(|_| u32::from(TRIED.fetch_add(1, Ordering::Relaxed)))
        .map(|tried| FIRST + (begin.wrapping_add(tried) % u32::from(COUNT)) as u16)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a free port")
}

/// `N` different ports as of [`free_port`].
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    std::array::from_fn(|_| free_port())
}

/// An address on 127.0.0.1 where nobody listens, as of [`free_port`].
///
/// # Panics
/// When all are taken.
#[must_use]
pub fn free_address() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, free_port()).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_or_is_one_of_the_kernels() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let lowest: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        let ports: HashSet<u16> = free_ports::<100>().into();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| (FIRST..lowest).contains(port)), "{ports:?}, {lowest}");
    }
}
