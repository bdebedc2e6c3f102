//! Ports that nobody listens on.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU16, Ordering};

use tokio::net::TcpSocket;

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
        .find(|port| is_free(*port))
        .expect("a free port")
}

/// Looks without listening: a program that another thread starts meanwhile has this socket, too,
/// until it runs, and would keep the port from whoever asked for it.
fn is_free(port: u16) -> bool {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::LOCALHOST, port).into())
    };
    bind().is_ok()
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
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_is_free_while_nobody_listens() {
        let port = free_port();
        let asked = TcpSocket::new_v4().unwrap();
        asked.set_reuseaddr(true).unwrap();
        asked.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
        // As by a program that has not begun to run.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(!is_free(port));
        drop((listener, asked));
        assert!(is_free(port));
    }

    #[test]
    fn no_port_is_given_twice_or_is_one_of_the_kernels() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let lowest: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        let ports: HashSet<u16> = free_ports::<100>().into();
        assert_eq!(ports.len(), 100);
        assert!(ports.iter().all(|port| (FIRST..lowest).contains(port)), "{ports:?}, {lowest}");
    }
}
