//! Where a redirected connection was going: SO_ORIGINAL_DST, which iptables' REDIRECT
//! leaves behind. IPv6 has an option of its own; TPROXY needs none.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::net::TcpStream;

/// The destination before the redirect; `None` for a connection that was not redirected.
/// Where connections are tracked, the kernel answers for all of them: the address that
/// was accepted on is no other destination.
pub(super) fn original_destination(io: &TcpStream, accepted_on: SocketAddr) -> Option<SocketAddr> {
    let socket = SockRef::from(io);
    let original = match accepted_on {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    let original = original.ok()?.as_socket()?;
    (original != accepted_on).then_some(original)
}
