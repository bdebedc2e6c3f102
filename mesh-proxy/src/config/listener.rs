//! Listeners, filter chains and network filters.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::{
    AccessLog, Address, BufferLimit, DownstreamTls, HttpConnectionManager, Name, SecretConfig,
    Target,
};

/// Envoy's `Listener`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listener {
    pub(crate) name: Name,
    /// What it listens on; for a listener that is not bound, the original destination
    /// that it takes connections for (0.0.0.0 or `::` takes every address of that port).
    pub(crate) address: Address,
    /// `additional_addresses`: the same for these, each another one.
    pub(crate) additional_addresses: Vec<Address>,
    /// `pipe.mode`: the permissions of a Unix socket's file. 0 leaves them as they come.
    pub(crate) pipe_mode: u32,
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
    /// The listener filter `proxy_protocol`, which comes before the inspectors.
    pub(crate) proxy_protocol: Option<Arc<ProxyProtocol>>,
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
    /// `connection_balance_config.exact_balance`: each connection goes to the worker that has
    /// the fewest of this listener.
    pub(crate) exact_balance: bool,
    /// `traffic_direction: INBOUND`: `/drain_listeners?inboundonly` means it.
    pub(crate) is_inbound: bool,
    /// `ignore_global_conn_limit`
    pub(crate) ignores_global_limit: bool,
    /// Of the connections that come to it.
    pub(crate) buffer_limit: BufferLimit,
}

impl Listener {
    /// All of its addresses, the first one first.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.additional_addresses)
    }

    /// An address that this one has and `other` has too, where two cannot.
    pub(crate) fn shared_address(&self, other: &Self) -> Option<&Address> {
        self.addresses().find(|address| {
            address.is_exclusive() && other.addresses().any(|theirs| theirs == *address)
        })
    }
}

/// Envoy's listener filter `ProxyProtocol`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProxyProtocol {
    pub(crate) allow_requests_without_proxy_protocol: bool,
    /// Version 1 is not among `disallowed_versions`.
    pub(crate) v1: bool,
    /// Version 2 is not among `disallowed_versions`.
    pub(crate) v2: bool,
    /// Empty for none.
    pub(crate) stat_prefix: Name,
}

/// Envoy's network filter `ConnectionLimit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionLimit {
    pub(crate) stat_prefix: Name,
    /// `max_connections`, at least 1.
    pub(crate) max_connections: u64,
    /// How long a connection above it is kept before it is closed.
    pub(crate) delay: Option<Duration>,
}

/// Envoy's `FilterChain`.
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
    /// The filters `connection_limit`, in order.
    pub(crate) connection_limits: Vec<ConnectionLimit>,
    /// The last filter.
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
/// protocol before application protocol before the source: the peer's address, type, address
/// and port.
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
    /// Of the peer, which may be a proxy that tells another source.
    pub(crate) direct_source_prefix_ranges: Vec<(IpAddr, u8)>,
    pub(crate) source_type: SourceType,
    pub(crate) source_prefix_ranges: Vec<(IpAddr, u8)>,
    pub(crate) source_ports: Vec<u16>,
}

/// `source_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SourceType {
    #[default]
    Any,
    /// SAME_IP_OR_LOOPBACK.
    Local,
    External,
}

impl FilterChainMatch {
    /// Whether there are connections for which both say the same, and equally specific.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        fn meet<T: PartialEq>(a: &[T], b: &[T]) -> bool {
            (a.is_empty() && b.is_empty()) || a.iter().any(|one| b.contains(one))
        }
        self.destination_port == other.destination_port
            && self.transport_protocol == other.transport_protocol
            && self.source_type == other.source_type
            && meet(&self.prefix_ranges, &other.prefix_ranges)
            && meet(&self.server_names, &other.server_names)
            && meet(&self.application_protocols, &other.application_protocols)
            && meet(&self.direct_source_prefix_ranges, &other.direct_source_prefix_ranges)
            && meet(&self.source_prefix_ranges, &other.source_prefix_ranges)
            && meet(&self.source_ports, &other.source_ports)
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
    /// `hash_policy`: the source's address.
    pub(crate) hash_source_ip: bool,
    /// `backoff_options`: between the attempts.
    pub(crate) backoff: Option<Backoff>,
    /// `max_downstream_connection_duration`: what is open for so long is closed.
    pub(crate) max_duration: Option<Duration>,
    /// `max_downstream_connection_duration_jitter_percentage`: up to so much of it more.
    pub(crate) max_duration_jitter: f64,
    pub(crate) access_logs: Vec<Arc<AccessLog>>,
    /// `access_log_options`: when else than at the end a connection is logged.
    pub(crate) logged: Logged,
}

/// Envoy's `TcpAccessLogOptions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Logged {
    pub(crate) on_start: bool,
    pub(crate) on_connected: bool,
    pub(crate) every: Option<Duration>,
}

/// Envoy's `BackoffStrategy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff {
    /// More than zero.
    pub(crate) base: Duration,
    /// `base` at least; ten times as much by default.
    pub(crate) most: Duration,
}

impl Backoff {
    /// How long to wait before the attempt of this number, counted from 1 for the second: any
    /// time below the base interval doubled with each, as `share`, between 0 and 1, says.
    pub(crate) fn before(&self, number: u32, share: f64) -> Duration {
        let doubled = self.base.saturating_mul(1 << number.saturating_sub(1).min(20));
        doubled.min(self.most).mul_f64(share)
    }
}
