//! `Listener` and its listener filters.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::any;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::listener::v3 as proto;
use mesh_proto::envoy::extensions::filters::listener::{
    http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst,
    proxy_protocol::v3::ProxyProtocol as ProxyProtocolMessage, tls_inspector::v3::TlsInspector,
};
use prost::Name as _;

use super::KnownClusters;
use super::access_log::access_logs;
use super::common::{
    decode, enumeration, ip_and_port, not_honoured, refuse_set, timeout, unknown_type,
};
use super::filter_chain::filter_chain;
use crate::config::{
    Address, BufferLimit, Error, FilterChain, FilterChainMatch, Listener, Name, Path, ProxyProtocol,
};

const DEFAULT_LISTENER_FILTERS_TIMEOUT: Duration = Duration::from_secs(15);

/// Envoy's `Listener`. One without a name takes its address for it.
pub(crate) fn listener(
    listener: proto::Listener,
    path: &Path,
    known: KnownClusters<'_>,
) -> Result<Listener, Error> {
    let proto::Listener {
        name,
        address,
        additional_addresses,
        stat_prefix,
        stats_matcher,
        filter_chains,
        fcds_config,
        filter_chain_matcher,
        use_original_dst,
        default_filter_chain,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        metadata,
        deprecated_v1,
        drain_type,
        listener_filters,
        listener_filters_timeout,
        continue_on_listener_filters_timeout,
        transparent,
        freebind,
        socket_options,
        tcp_fast_open_queue_length,
        traffic_direction,
        udp_listener_config,
        api_listener,
        connection_balance_config,
        // Every worker has its own socket in any case.
        reuse_port: _,
        enable_reuse_port,
        access_log,
        tcp_backlog_size,
        max_connections_to_accept_per_socket_event,
        bind_to_port,
        enable_mptcp,
        ignore_global_conn_limit,
        bypass_overload_manager,
        tcp_keepalive,
        listener_specifier,
    } = listener;
    let freebind = freebind == Some(true);
    let enable_reuse_port = enable_reuse_port == Some(false);
    refuse_set!(
        path,
        Listener,
        stat_prefix,
        stats_matcher,
        fcds_config,
        filter_chain_matcher,
        per_connection_buffer_high_watermark_timeout,
        metadata,
        drain_type,
        freebind,
        socket_options,
        tcp_fast_open_queue_length,
        udp_listener_config,
        api_listener,
        enable_reuse_port,
        tcp_backlog_size,
        max_connections_to_accept_per_socket_event,
        enable_mptcp,
        bypass_overload_manager,
        tcp_keepalive,
        listener_specifier,
    );
    let (address, pipe_mode) = address_of(&path.field("address"), address)?;
    let additional_addresses = additional_addresses_of(path, additional_addresses, &address)?;
    let bind_to_port = bind_to_port
        .or(deprecated_v1.and_then(|deprecated| deprecated.bind_to_port))
        .unwrap_or(true);
    if let Address::Pipe(_) = address
        && (!bind_to_port || transparent == Some(true) || use_original_dst == Some(true))
    {
        return Err(path.field("address.pipe").error(
            "a Unix socket has no destination: leave out bind_to_port, transparent and use_original_dst",
        ));
    }
    let portless = |address: &Address| !address.is_exclusive();
    if !bind_to_port && (portless(&address) || additional_addresses.iter().any(portless)) {
        return Err(path
            .field("address.socket_address.port_value")
            .error("found 0, expected the port that the listener takes connections for"));
    }
    let balance = path.field("connection_balance_config");
    let exact_balance = is_balanced(&balance, connection_balance_config)?;
    let filters = listener_filters_of(&path.field("listener_filters"), listener_filters)?;
    let chains = filter_chains_of(&path.field("filter_chains"), filter_chains, known)?;
    let default_filter_chain = default_filter_chain
        .map(|chain| filter_chain(chain, &path.field("default_filter_chain"), known).map(Arc::new))
        .transpose()?;
    if chains.is_empty() && default_filter_chain.is_none() {
        return Err(path.field("filter_chains").error("missing: at least one is required"));
    }
    let direction: core::TrafficDirection =
        enumeration(path, "traffic_direction", traffic_direction)?;
    let name: Name = if name.is_empty() { address.to_string().into() } else { name.into() };
    Ok(Listener {
        name,
        address,
        additional_addresses,
        pipe_mode,
        bind_to_port,
        use_original_dst: use_original_dst.unwrap_or(false),
        original_dst: filters.original_dst,
        proxy_protocol: filters.proxy_protocol,
        tls_inspector: filters.tls_inspector || needs_tls_inspector(&chains),
        transparent: transparent == Some(true),
        http_inspector: filters.http_inspector,
        listener_filters_timeout: timeout(
            path,
            "listener_filters_timeout",
            listener_filters_timeout,
            Some(DEFAULT_LISTENER_FILTERS_TIMEOUT),
        )?,
        continue_on_listener_filters_timeout,
        filter_chains: chains,
        default_filter_chain,
        access_logs: access_logs(&path.field("access_log"), access_log)?,
        exact_balance,
        is_inbound: direction == core::TrafficDirection::Inbound,
        ignores_global_limit: ignore_global_conn_limit,
        buffer_limit: BufferLimit::new(per_connection_buffer_limit_bytes),
    })
}

/// An IP address and port, or a Unix socket with the mode of its file.
fn address_of(path: &Path, address: Option<core::Address>) -> Result<(Address, u32), Error> {
    let Some(core::Address { address: Some(core::address::Address::Pipe(pipe)) }) = address else {
        return Ok((Address::Ip(ip_and_port(path, address)?), 0));
    };
    let core::Pipe { path: name, mode } = pipe;
    let path = path.field("pipe");
    // What fits into the kernel's sockaddr_un.
    const LONGEST: usize = 107;
    if !name.starts_with(['/', '@']) || name.len() < 2 || name.len() > LONGEST {
        return Err(path
            .field("path")
            .error(format!("found {name:?}, expected /PATH or @NAME of at most {LONGEST} bytes")));
    }
    match mode {
        0..=0o777 => Ok((Address::Pipe(name.into()), mode)),
        _ => Err(path.field("mode").error(format!("found {mode}, expected at most 511 (0777)"))),
    }
}

/// Further IP addresses of a listener whose first one is an IP address, too.
fn additional_addresses_of(
    path: &Path,
    additional: Vec<proto::AdditionalAddress>,
    first: &Address,
) -> Result<Vec<Address>, Error> {
    let path = path.field("additional_addresses");
    if let (Address::Pipe(_), false) = (first, additional.is_empty()) {
        return Err(path.error("a Unix socket is the only address of its listener"));
    }
    let mut found: Vec<Address> = Vec::with_capacity(additional.len());
    for (index, wire) in additional.into_iter().enumerate() {
        let path = path.index(index);
        let proto::AdditionalAddress { address, socket_options, tcp_keepalive } = wire;
        refuse_set!(&path, AdditionalAddress, socket_options, tcp_keepalive);
        let path = path.field("address");
        let address = Address::Ip(ip_and_port(&path, address)?);
        if *first == address || found.contains(&address) {
            return Err(path.error(format!("{address} is an address of this listener already")));
        }
        found.push(address);
    }
    Ok(found)
}

/// Whether connections are shared out evenly: `exact_balance` is the one way.
fn is_balanced(
    path: &Path,
    config: Option<proto::listener::ConnectionBalanceConfig>,
) -> Result<bool, Error> {
    use proto::listener::connection_balance_config::{BalanceType, ExactBalance};
    let Some(proto::listener::ConnectionBalanceConfig { balance_type }) = config else {
        return Ok(false);
    };
    match balance_type {
        Some(BalanceType::ExactBalance(ExactBalance {})) => Ok(true),
        Some(BalanceType::ExtendBalance(_)) => Err(not_honoured(&path.field("extend_balance"))),
        Some(BalanceType::CpuLocalityBalance(_)) => {
            Err(not_honoured(&path.field("cpu_locality_balance")))
        }
        None => Err(path.error("missing: expected exact_balance")),
    }
}

/// Whether chains match by what only that one finds: Envoy adds it then, too.
fn needs_tls_inspector(chains: &[Arc<FilterChain>]) -> bool {
    chains.iter().any(|chain| match chain.matcher.transport_protocol.as_deref() {
        Some(protocol) => protocol == "tls",
        None => {
            let FilterChainMatch { server_names, application_protocols, .. } = &chain.matcher;
            !server_names.is_empty() || !application_protocols.is_empty()
        }
    })
}

#[derive(Default)]
struct ListenerFilters {
    original_dst: bool,
    proxy_protocol: Option<Arc<ProxyProtocol>>,
    tls_inspector: bool,
    http_inspector: bool,
}

fn listener_filters_of(
    path: &Path,
    filters: Vec<proto::ListenerFilter>,
) -> Result<ListenerFilters, Error> {
    use proto::listener_filter::ConfigType;
    let mut found = ListenerFilters::default();
    for (index, filter) in filters.into_iter().enumerate() {
        let path = path.index(index);
        let proto::ListenerFilter { name: _, filter_disabled, config_type } = filter;
        refuse_set!(&path, ListenerFilter, filter_disabled);
        let path = path.field("typed_config");
        match config_type {
            Some(ConfigType::TypedConfig(any)) if any::is::<OriginalDst>(&any) => {
                let OriginalDst {} = decode(&path, &any)?;
                found.original_dst = true;
            }
            Some(ConfigType::TypedConfig(any)) if any::is::<ProxyProtocolMessage>(&any) => {
                if found.tls_inspector || found.http_inspector {
                    return Err(path.error(
                        "stands behind an inspector, which would look at the header that it takes; put it first",
                    ));
                }
                found.proxy_protocol = Some(Arc::new(proxy_protocol(decode(&path, &any)?, &path)?));
            }
            Some(ConfigType::TypedConfig(any)) if any::is::<HttpInspector>(&any) => {
                let HttpInspector {} = decode(&path, &any)?;
                found.http_inspector = true;
            }
            Some(ConfigType::TypedConfig(any)) if any::is::<TlsInspector>(&any) => {
                tls_inspector(decode(&path, &any)?, &path)?;
                found.tls_inspector = true;
            }
            Some(ConfigType::ConfigDiscovery(_)) => return Err(not_honoured(&path)),
            Some(ConfigType::TypedConfig(any)) => {
                return Err(unknown_type(&path, Some(&any), &our_listener_filters()));
            }
            None => return Err(unknown_type(&path, None, &our_listener_filters())),
        }
    }
    Ok(found)
}

fn proxy_protocol(wire: ProxyProtocolMessage, path: &Path) -> Result<ProxyProtocol, Error> {
    use core::proxy_protocol_config::Version;
    let ProxyProtocolMessage {
        rules,
        allow_requests_without_proxy_protocol,
        pass_through_tlvs,
        disallowed_versions,
        stat_prefix,
        tlv_location,
    } = wire;
    refuse_set!(path, ProxyProtocol, rules, pass_through_tlvs, tlv_location);
    let mut found = ProxyProtocol {
        allow_requests_without_proxy_protocol,
        v1: true,
        v2: true,
        stat_prefix: stat_prefix.into(),
    };
    for version in disallowed_versions {
        match enumeration(path, "disallowed_versions", version)? {
            Version::V1 => found.v1 = false,
            Version::V2 => found.v2 = false,
        }
    }
    match found.v1 || found.v2 {
        true => Ok(found),
        false => Err(path.field("disallowed_versions").error("leaves no version")),
    }
}

fn tls_inspector(wire: TlsInspector, path: &Path) -> Result<(), Error> {
    let TlsInspector {
        enable_ja3_fingerprinting,
        enable_ja4_fingerprinting,
        initial_read_buffer_size,
        max_client_hello_size,
        close_connection_on_client_hello_parsing_errors,
    } = wire;
    let enable_ja3_fingerprinting = enable_ja3_fingerprinting == Some(true);
    let enable_ja4_fingerprinting = enable_ja4_fingerprinting == Some(true);
    refuse_set!(
        path,
        TlsInspector,
        enable_ja3_fingerprinting,
        enable_ja4_fingerprinting,
        initial_read_buffer_size,
        max_client_hello_size,
        close_connection_on_client_hello_parsing_errors,
    );
    Ok(())
}

fn our_listener_filters() -> [String; 4] {
    [
        OriginalDst::full_name(),
        ProxyProtocolMessage::full_name(),
        TlsInspector::full_name(),
        HttpInspector::full_name(),
    ]
}

/// No two chains may match the same connections, as far as that can be told from their
/// matches alone (Envoy's "overlapping matching rules").
fn filter_chains_of(
    path: &Path,
    chains: Vec<proto::FilterChain>,
    known: KnownClusters<'_>,
) -> Result<Vec<Arc<FilterChain>>, Error> {
    let mut found: Vec<Arc<FilterChain>> = Vec::with_capacity(chains.len());
    for (index, chain) in chains.into_iter().enumerate() {
        let path = path.index(index);
        let chain = filter_chain(chain, &path, known)?;
        if let Some(at) = found.iter().position(|other| other.matcher.overlaps(&chain.matcher)) {
            return Err(path.field("filter_chain_match").error(format!(
                "overlaps with that of filter_chains[{at}], which would take this chain's connections"
            )));
        }
        found.push(Arc::new(chain));
    }
    Ok(found)
}
