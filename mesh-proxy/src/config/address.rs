//! What a listener listens on.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt as _;
use std::str::FromStr;

use socket2::SockRef;

use super::Name;

/// Envoy's `Address`, as far as it is honoured. As text it is "1.2.3.4:80", "/a/path", or
/// "@name" for a name of the abstract namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Address {
    Ip(SocketAddr),
    /// A Unix socket: its path, or "@" and an abstract name.
    Pipe(Name),
}

impl Address {
    /// The address that a listening socket has.
    pub(crate) fn of(listener: &std::net::TcpListener) -> io::Result<Self> {
        let address = SockRef::from(listener).local_addr()?;
        if let Some(address) = address.as_socket() {
            return Ok(Self::Ip(address));
        }
        let name = address.as_abstract_namespace().map(|name| [b"@", name].concat());
        let path = address.as_pathname().map(|path| path.as_os_str().as_bytes().to_vec());
        let text = name.or(path).and_then(|bytes| String::from_utf8(bytes).ok());
        let text = text.ok_or_else(|| io::Error::other("the socket has no name"))?;
        Ok(Self::Pipe(text.into()))
    }

    /// `None` for a Unix socket.
    pub(crate) fn ip(&self) -> Option<SocketAddr> {
        match self {
            Self::Ip(address) => Some(*address),
            Self::Pipe(_) => None,
        }
    }

    /// The name of a Unix socket.
    pub(crate) fn pipe(&self) -> Option<Name> {
        match self {
            Self::Ip(_) => None,
            Self::Pipe(name) => Some(Name::clone(name)),
        }
    }

    /// Whether two listeners cannot have it both: port 0 is another port each time.
    pub(crate) fn is_exclusive(&self) -> bool {
        self.ip().is_none_or(|address| address.port() != 0)
    }
}

/// Stands for the address of either end of a Unix socket's connection.
pub(crate) fn no_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Pipe(name) => f.write_str(name),
        }
    }
}

impl FromStr for Address {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.starts_with(['/', '@']) {
            true => Ok(Self::Pipe(text.into())),
            false => text.parse().map(Self::Ip),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Ip(address)
    }
}

impl PartialEq<SocketAddr> for Address {
    fn eq(&self, other: &SocketAddr) -> bool {
        self.ip() == Some(*other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        for text in ["127.0.0.1:80", "[::1]:80", "/run/a.sock", "@a"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert!("a.sock".parse::<Address>().is_err());
    }
}
