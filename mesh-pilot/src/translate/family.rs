//! IPv4 and IPv6: what a pod has of them.

use std::net::IpAddr;

use mesh_proto::envoy::config::core::v3::{BindConfig, ExtraSourceAddress};
use mesh_proto::envoy::config::listener::v3::{AdditionalAddress, Listener};

use super::wire;

/// Of which families a proxy's pod has addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Families {
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
    /// Both.
    Both,
}

impl Families {
    /// Those of these addresses; of none: IPv4.
    pub(super) fn of(addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        let (mut v4, mut v6) = (false, false);
        for address in addresses {
            match address {
                IpAddr::V4(_) => v4 = true,
                IpAddr::V6(_) => v6 = true,
            }
        }
        match (v4, v6) {
            (true, true) => Self::Both,
            (false, true) => Self::V6,
            (_, false) => Self::V4,
        }
    }

    /// Whether connections to an address of its family can come.
    pub(super) fn has(self, address: IpAddr) -> bool {
        match self {
            Self::V4 => address.is_ipv4(),
            Self::V6 => address.is_ipv6(),
            Self::Both => true,
        }
    }

    fn choose<'a>(self, v4: &'a str, v6: &'a str) -> (&'a str, Option<&'a str>) {
        match self {
            Self::V4 => (v4, None),
            Self::V6 => (v6, None),
            Self::Both => (v4, Some(v6)),
        }
    }

    /// Every address, as listeners are named for it.
    pub(super) fn any(self) -> &'static str {
        self.choose("0.0.0.0", "::").0
    }

    /// The listener, on every address of these families: as in Istio one listener, of which
    /// IPv6 is an additional address beside IPv4.
    pub(super) fn on_all(self, port: u16, listener: Listener) -> Listener {
        let (first, second) = self.choose("0.0.0.0", "::");
        let additional = |address| AdditionalAddress {
            address: Some(wire::address(address, port)),
            ..Default::default()
        };
        Listener {
            address: Some(wire::address(first, port)),
            additional_addresses: second.map(additional).into_iter().collect(),
            ..listener
        }
    }

    /// What a sidecar calls its own application from; the redirection rules know it, and let
    /// such a connection through.
    pub(super) fn inbound_source(self) -> BindConfig {
        let (first, second) = self.choose("127.0.0.6", "::6");
        let extra = |address| ExtraSourceAddress {
            address: Some(wire::socket_address(address, 0)),
            ..Default::default()
        };
        BindConfig {
            source_address: Some(wire::socket_address(first, 0)),
            extra_source_addresses: second.map(extra).into_iter().collect(),
            ..Default::default()
        }
    }
}
