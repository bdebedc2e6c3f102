//! Trying the rules: a connection is made as the application or as the proxy would make it,
//! and must arrive at the proxy's port, with its destination known. The pod's traffic has
//! not begun: nobody else listens there.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::{Context, bail};
use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::unistd::{Uid, setfsuid};
use socket2::{Domain, SockRef, Socket, Type};

use super::rules::{Family, Mode, Rules, Selection};
use super::system;

/// Nothing here leaves the pod.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What came of it.
pub(super) enum Tried {
    /// It works.
    Works { to: SocketAddr, at: u16 },
    /// It could not be tried, or there was nothing to try.
    Not(String),
}

impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Works { to, at } => write!(f, "a connection to {to} arrives at port {at}"),
            Self::Not(why) => write!(f, "not tried: {why}"),
        }
    }
}

/// As the application, to an address outside.
pub(super) fn outbound(rules: &Rules, family: Family) -> anyhow::Result<Tried> {
    if rules.proxy_uid == Uid::effective().as_raw() {
        return Ok(Tried::Not("this is the proxy's user, which is not redirected".to_owned()));
    }
    let interfaces = interfaces(family)?;
    let Some(target) = outside(rules, family, &interfaces) else {
        return Ok(Tried::Not("no address outside is both reachable and redirected".to_owned()));
    };
    let Some(listener) = listen(family, rules.outbound_port, false)? else {
        return Ok(in_use(rules.outbound_port));
    };
    arrives(&listener, target, || connect(target))
}

/// As the proxy, to the pod's own address, which is the way of a pod's calls to its own
/// service: what comes from elsewhere takes the same chain.
pub(super) fn inbound(rules: &Rules, family: Family) -> anyhow::Result<Tried> {
    let own = interfaces(family)?.into_iter().find(|(name, _)| !is_excluded(rules, name));
    let Some((_, own)) = own else {
        return Ok(Tried::Not("there is no address but loopback".to_owned()));
    };
    let is_open = |port: &u16| !rules.exclude_inbound_ports.contains(port);
    let port = match &rules.inbound {
        Selection::All => (1024..u16::MAX).find(is_open),
        Selection::Only(ports) => ports.iter().copied().find(is_open),
    };
    let Some(port) = port else {
        return Ok(Tried::Not("no port is redirected".to_owned()));
    };
    if !system::may_change_user() {
        return Ok(Tried::Not(
            "without the capability SETUID it cannot act as the proxy".to_owned(),
        ));
    }
    let Some(listener) = listen(family, rules.inbound_port, rules.mode == Mode::Tproxy)? else {
        return Ok(in_use(rules.inbound_port));
    };
    let target = SocketAddr::new(own, port);
    let proxy = Uid::from_raw(rules.proxy_uid);
    arrives(&listener, target, || {
        // A socket's owner, for iptables, is the user of the thread that made it; the thread
        // ends with it.
        let as_proxy = move || {
            setfsuid(proxy);
            connect(target)
        };
        thread::spawn(as_proxy).join().unwrap_or_else(|_| Err(io::Error::other("no thread")))
    })
}

fn in_use(port: u16) -> Tried {
    Tried::Not(format!("something listens on port {port} already"))
}

/// Connects, and waits for just this connection.
fn arrives(
    listener: &TcpListener,
    target: SocketAddr,
    connect: impl FnOnce() -> io::Result<Socket>,
) -> anyhow::Result<Tried> {
    let at = listener.local_addr()?.port();
    let lost = || {
        format!(
            "a connection to {target} does not arrive at port {at}: another rule takes or drops \
             it (iptables-nft-save and iptables-legacy-save show them all)"
        )
    };
    let client = connect().with_context(lost)?;
    let own = client.local_addr()?.as_socket().context("the socket has no address")?;
    loop {
        let (server, peer) = listener.accept().with_context(lost)?;
        // Closed without a trace: the proxy is about to listen on this port.
        SockRef::from(&server).set_linger(Some(Duration::ZERO))?;
        if peer.port() != own.port() {
            continue;
        }
        let original = original_destination(&SockRef::from(&server))
            .with_context(|| format!("the destination of a connection to {target} is lost"))?;
        if original != target {
            bail!("a connection to {target} arrives at port {at} as one to {original}");
        }
        return Ok(Tried::Works { to: target, at });
    }
}

/// With REDIRECT the kernel remembers it, with TPROXY it is the socket's own address.
fn original_destination(socket: &SockRef<'_>) -> io::Result<SocketAddr> {
    let own = socket.local_addr()?.as_socket().ok_or(ErrorKind::AddrNotAvailable)?;
    if socket.ip_transparent_v4()? {
        return Ok(own);
    }
    let original = match own {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    original?.as_socket().ok_or_else(|| ErrorKind::AddrNotAvailable.into())
}

/// None when the port is in use: the proxy runs already.
fn listen(family: Family, port: u16, transparent: bool) -> anyhow::Result<Option<TcpListener>> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
    };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    if transparent {
        // The kernel takes it for sockets of IPv6, too.
        socket.set_ip_transparent_v4(true).context("cannot listen for any destination")?;
    }
    socket.set_reuse_address(true)?;
    // For accept.
    socket.set_read_timeout(Some(TIMEOUT))?;
    match socket.bind(&SocketAddr::new(any, port).into()).and_then(|()| socket.listen(8)) {
        Ok(()) => Ok(Some(socket.into())),
        Err(error) if error.kind() == ErrorKind::AddrInUse => Ok(None),
        Err(error) => Err(error).context(format!("cannot listen on port {port}")),
    }
}

fn connect(target: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, None)?;
    socket.connect_timeout(&target.into(), TIMEOUT)?;
    Ok(socket)
}

/// The addresses that others can reach this pod at, with their interfaces.
fn interfaces(family: Family) -> anyhow::Result<Vec<(String, IpAddr)>> {
    let all = getifaddrs().context("the addresses of this pod are unknown")?;
    let usable = |interface: InterfaceAddress| {
        let address = interface.address?;
        let ip = match (address.as_sockaddr_in(), address.as_sockaddr_in6()) {
            (Some(v4), _) => IpAddr::from(v4.ip()),
            (_, Some(v6)) => v6.ip().into(),
            _ => return None,
        };
        let local = match ip {
            IpAddr::V4(v4) => v4.is_loopback() || v4.is_link_local(),
            IpAddr::V6(v6) => {
                v6.is_loopback() || v6.is_unicast_link_local() || system::is_tentative(v6)
            }
        };
        let own = interface.interface_name == "lo" || local || !family.has(ip);
        (!own).then_some((interface.interface_name, ip))
    };
    Ok(all.filter_map(usable).collect())
}

fn is_excluded(rules: &Rules, interface: &str) -> bool {
    rules.exclude_interfaces.iter().any(|excluded| match excluded.strip_suffix('+') {
        Some(start) => interface.starts_with(start),
        None => interface == excluded,
    })
}

/// An address and a port that the rules redirect and that there is a route to: it need not
/// exist, since nothing gets there.
fn outside(rules: &Rules, family: Family, own: &[(String, IpAddr)]) -> Option<SocketAddr> {
    let is_open = |port: &u16| !rules.exclude_outbound_ports.contains(port);
    let any_port = (80..u16::MAX).find(is_open)?;
    // RFC 5737 and RFC 3849: documentation's addresses, which nobody has. Then neighbours.
    let nobodys = ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1"];
    let nobodys = nobodys.iter().filter_map(|text| text.parse().ok());
    let neighbours = own.iter().map(|(_, address)| neighbour(*address));
    let anywhere: Vec<IpAddr> = nobodys.chain(neighbours).collect();
    let candidates: Vec<(IpAddr, u16)> = match (&rules.outbound, &rules.include_outbound_ports) {
        (Selection::All, _) => anywhere.into_iter().map(|ip| (ip, any_port)).collect(),
        (Selection::Only(cidrs), ports) => {
            let in_ranges = cidrs.iter().map(|cidr| (neighbour(cidr.address), any_port));
            let port = ports.iter().copied().find(is_open);
            in_ranges
                .chain(port.into_iter().flat_map(|port| anywhere.iter().map(move |ip| (*ip, port))))
                .collect()
        }
    };
    let is_usable = |(address, _): &(IpAddr, u16)| {
        family.has(*address)
            && !rules.exclude_outbound_cidrs.iter().any(|cidr| cidr.contains(*address))
            && !own.iter().any(|(_, own)| own == address)
            && leaves_redirected(rules, *address, own)
    };
    candidates.into_iter().find(is_usable).map(|(address, port)| SocketAddr::new(address, port))
}

/// Another address that is close.
fn neighbour(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() ^ 1).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() ^ 1).into(),
    }
}

/// Whether there is a route to it, and not by an excluded interface. Connecting a UDP socket
/// asks for the route and sends nothing.
fn leaves_redirected(rules: &Rules, to: IpAddr, own: &[(String, IpAddr)]) -> bool {
    let from = || -> io::Result<Option<SocketAddr>> {
        let socket = Socket::new(Domain::for_address((to, 9).into()), Type::DGRAM, None)?;
        socket.connect(&SocketAddr::new(to, 9).into())?;
        Ok(socket.local_addr()?.as_socket())
    };
    let Ok(Some(from)) = from() else { return false };
    let interface = own.iter().find(|(_, address)| *address == from.ip());
    interface.is_some_and(|(name, _)| !is_excluded(rules, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_by_name_and_by_their_beginning() {
        let rules = super::super::args::rules(&["--exclude-interfaces=net1,cali+"]);
        assert!(is_excluded(&rules, "net1") && is_excluded(&rules, "cali0"));
        assert!(!is_excluded(&rules, "net10") && !is_excluded(&rules, "eth0"));
    }

    #[test]
    fn a_neighbour_is_another_address_of_the_same_range() {
        let neighbour = |text: &str| neighbour(text.parse().unwrap()).to_string();
        assert_eq!(neighbour("10.0.0.0"), "10.0.0.1");
        assert_eq!(neighbour("fd00::1"), "fd00::");
    }
}
