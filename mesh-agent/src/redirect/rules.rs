//! What is to be redirected, checked.

use std::fmt;
use std::net::IpAddr;

/// How inbound traffic gets to the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// By changing its destination, which the proxy then asks the kernel for.
    Redirect,
    /// As it is, to a listener with `transparent: true`; the proxy needs NET_ADMIN for it.
    Tproxy,
}

/// What to redirect, checked.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) mode: Mode,
    pub(super) proxy_uid: u32,
    pub(super) outbound_port: u16,
    pub(super) inbound_port: u16,
    pub(super) exclude_interfaces: Vec<String>,
    pub(super) inbound: Selection<u16>,
    pub(super) exclude_inbound_ports: Vec<u16>,
    pub(super) include_outbound_ports: Vec<u16>,
    pub(super) exclude_outbound_ports: Vec<u16>,
    pub(super) outbound: Selection<Cidr>,
    pub(super) exclude_outbound_cidrs: Vec<Cidr>,
}

#[derive(Clone, Debug)]
pub(super) enum Selection<T> {
    All,
    Only(Vec<T>),
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    pub(super) fn loopback(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.0/8",
            Self::V6 => "::1/128",
        }
    }

    /// What the proxy sends from when it hands a request to the application.
    pub(super) fn inbound_source(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.6/32",
            Self::V6 => "::6/128",
        }
    }

    pub(super) fn has(self, address: IpAddr) -> bool {
        address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl Cidr {
    /// Whether the address is in the range; one of the other family never is.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let same = |width: u32, difference: u128| {
            let bits = u32::from(self.bits).min(width);
            bits == 0 || difference >> (width - bits) == 0
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(32, u128::from(own.to_bits() ^ other.to_bits()))
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(128, own.to_bits() ^ other.to_bits()),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let cidr = |address: &str, bits| Cidr { address: address.parse().unwrap(), bits };
        let contains = |range: Cidr, address: &str| range.contains(address.parse().unwrap());
        assert!(contains(cidr("10.1.0.0", 16), "10.1.255.1"));
        assert!(!contains(cidr("10.1.0.0", 16), "10.2.0.0"));
        assert!(contains(cidr("0.0.0.0", 0), "192.0.2.1") && !contains(cidr("0.0.0.0", 0), "::1"));
        assert!(contains(cidr("fd00::", 8), "fdff::1") && !contains(cidr("fd00::", 8), "fe80::1"));
        assert!(contains(cidr("10.0.0.1", 32), "10.0.0.1") && !contains(cidr("::1", 128), "::2"));
    }
}
