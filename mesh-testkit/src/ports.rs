//! Ports that nobody listens on.

use std::net::{Ipv4Addr, TcpListener};

/// A TCP port that is free on 127.0.0.1 at this moment.
#[must_use]
pub fn free_port() -> u16 {
    free_ports::<1>()[0]
}

/// `N` different free TCP ports on 127.0.0.1.
#[must_use]
pub fn free_ports<const N: usize>() -> [u16; N] {
    // All are held until the last is found, so that no two are the same.
    let held: [TcpListener; N] =
        std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap());
    held.map(|listener| listener.local_addr().unwrap().port())
}
