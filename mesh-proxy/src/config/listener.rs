//! Listeners, filter chains and network filters.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{AccessLog, DownstreamTls, HttpConnectionManager, Name, SecretConfig, Target};

/// Envoy's `Listener`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listener {
    pub(crate) name: Name,
    /// What it listens on; for a listener that is not bound, the original destination
    /// that it takes connections for (0.0.0.0 or `::` takes every address of that port).
    pub(crate) address: SocketAddr,
    /// `bind_to_port`; false when connections reach it only through `use_original_dst`.
    pub(crate) bind_to_port: bool,
    /// `use_original_dst`: hand a redirected connection to the listener of its original
    /// destination, when there is one.
    pub(crate) use_original_dst: bool,
    /// Whether the listener filter `original_dst` is there: the original destination
    /// (SO_ORIGINAL_DST) becomes the connection's local address.
    pub(crate) original_dst: bool,
    /// `transparent`: take connections to any destination, which TPROXY sends here unchanged.
    pub(crate) transparent: bool,
    /// Whether the listener filter `tls_inspector` is there.
    pub(crate) tls_inspector: bool,
    /// Whether the listener filter `http_inspector` is there.
    pub(crate) http_inspector: bool,
    /// `listener_filters_timeout`: how long the inspectors wait for bytes. `None`: for
    /// ever. Envoy's default is 15 seconds.
    pub(crate) listener_filters_timeout: Option<Duration>,
    /// `continue_on_listener_filters_timeout`: go on to the filter chains rather than
    /// close the connection.
    pub(crate) continue_on_listener_filters_timeout: bool,
    pub(crate) filter_chains: Vec<Arc<FilterChain>>,
    pub(crate) default_filter_chain: Option<Arc<FilterChain>>,
    /// Logs of connections that end before a filter chain took them.
    pub(crate) access_logs: Vec<Arc<AccessLog>>,
}

/// Envoy's `FilterChain`. Its one filter is the terminal one.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FilterChain {
    /// Empty when the file gave none.
    pub(crate) name: Name,
    pub(crate) matcher: FilterChainMatch,
    /// `transport_socket`; `None` for plain text.
    pub(crate) tls: Option<Arc<DownstreamTls>>,
    /// `transport_socket_connect_timeout`: how long a handshake may take. `None`, Envoy's
    /// default: for ever.
    pub(crate) handshake_timeout: Option<Duration>,
    pub(crate) filter: NetworkFilter,
}

impl Listener {
    /// All filter chains, the default one too.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Arc<FilterChain>> {
        self.filter_chains.iter().chain(&self.default_filter_chain)
    }

    /// The secrets that its filter chains need.
    pub(crate) fn secrets(&self) -> impl Iterator<Item = &SecretConfig> {
        self.chains().filter_map(|chain| chain.tls.as_ref()).flat_map(|tls| tls.common.secrets())
    }
}

/// Envoy's `FilterChainMatch`: what is empty matches everything; the most specific chain
/// wins, destination port before destination address before server name before transport
/// protocol before application protocol before source address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FilterChainMatch {
    pub(crate) destination_port: Option<u16>,
    /// Address and prefix length.
    pub(crate) prefix_ranges: Vec<(IpAddr, u8)>,
    /// Names of SNI, without regard to case; "*.a" stands for what ends in ".a".
    pub(crate) server_names: Vec<Name>,
    /// "tls", "raw_buffer", or empty.
    pub(crate) transport_protocol: Option<Name>,
    /// As found by the inspectors: what ALPN offers, "http/1.1", "h2c".
    pub(crate) application_protocols: Vec<Name>,
    pub(crate) source_prefix_ranges: Vec<(IpAddr, u8)>,
}

impl FilterChainMatch {
    /// Whether there are connections for which both say the same, and equally specific.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        fn meet<T: PartialEq>(a: &[T], b: &[T]) -> bool {
            (a.is_empty() && b.is_empty()) || a.iter().any(|one| b.contains(one))
        }
        self.destination_port == other.destination_port
            && self.transport_protocol == other.transport_protocol
            && meet(&self.prefix_ranges, &other.prefix_ranges)
            && meet(&self.server_names, &other.server_names)
            && meet(&self.application_protocols, &other.application_protocols)
            && meet(&self.source_prefix_ranges, &other.source_prefix_ranges)
    }
}

/// What a filter chain ends in.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum NetworkFilter {
    Http(Arc<HttpConnectionManager>),
    Tcp(Arc<TcpProxy>),
}

/// Envoy's `TcpProxy`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TcpProxy {
    pub(crate) stat_prefix: Name,
    pub(crate) target: Target,
    /// No byte in either direction for this long ends the connection. `None`: never.
    /// Envoy's default is one hour.
    pub(crate) idle_timeout: Option<Duration>,
    /// `max_connect_attempts`, at least 1.
    pub(crate) max_connect_attempts: u32,
    pub(crate) access_logs: Vec<Arc<AccessLog>>,
}
