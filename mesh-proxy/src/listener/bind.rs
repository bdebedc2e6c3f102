//! Listening sockets.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// How many connections may wait to be accepted, per worker; the kernel's
/// `net.core.somaxconn` caps it.
const BACKLOG: i32 = 4096;

/// Binds one socket per worker to `address`: all of them, or none. With port 0 all share
/// the port that the kernel chose. The sockets do not block.
///
/// SO_REUSEPORT lets the kernel share connections out between the workers; it would also
/// let another process of the same user share them, so that an address in use is looked
/// for first, unless it `may_be_shared`.
pub(crate) fn bind(
    address: SocketAddr,
    workers: usize,
    may_be_shared: bool,
) -> io::Result<Vec<TcpListener>> {
    let address = if may_be_shared { address } else { free(address)? };
    (0..workers.max(1))
        .map(|_| {
            let socket = socket(address)?;
            socket.set_reuse_port(true)?;
            socket.bind(&address.into())?;
            socket.listen(BACKLOG)?;
            socket.set_nonblocking(true)?;
            Ok(socket.into())
        })
        .collect()
}

/// Makes sockets take connections to any destination, which TPROXY sends to them unchanged.
/// The process needs the capability NET_ADMIN.
pub(crate) fn make_transparent(sockets: &[TcpListener]) -> io::Result<()> {
    sockets.iter().try_for_each(|socket| {
        // The kernel takes it for sockets of IPv6, too.
        SockRef::from(socket).set_ip_transparent_v4(true).map_err(|error| {
            let advice = "transparent needs the capability NET_ADMIN";
            io::Error::new(error.kind(), format!("{advice}: {error}"))
        })
    })
}

/// The address, with a port, when nobody listens on it.
fn free(address: SocketAddr) -> io::Result<SocketAddr> {
    let free = socket(address)?;
    free.bind(&address.into())?;
    let address = free.local_addr()?.as_socket();
    address.ok_or_else(|| io::Error::other("the bound socket has no IP address"))
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections in TIME_WAIT do not keep a restarted proxy from its port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Envoy's default for an IPv6 address (`ipv4_compat` false).
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_gets_a_socket_of_the_same_port() {
        let sockets = bind("127.0.0.1:0".parse().unwrap(), 3, false).unwrap();
        let ports: Vec<_> = sockets.iter().map(|s| s.local_addr().unwrap().port()).collect();
        assert_eq!(ports, [ports[0]; 3]);
        assert_ne!(ports[0], 0);
    }

    #[test]
    fn an_address_in_use_is_an_error_even_when_it_could_be_shared() {
        let address = mesh_testkit::free_address();
        let sockets = bind(address, 2, false).unwrap();
        assert_eq!(bind(address, 2, false).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        bind(address, 2, true).unwrap();
        drop(sockets);
        bind(address, 2, false).unwrap();
    }
}
