//! `Listener` and its listener filters.

use std::sync::Arc;
use std::time::Duration;

use mesh_proto::any;
use mesh_proto::envoy::config::listener::v3 as proto;
use mesh_proto::envoy::extensions::filters::listener::{
    http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst,
    tls_inspector::v3::TlsInspector,
};
use prost::Name as _;

use super::KnownClusters;
use super::access_log::access_logs;
use super::common::{decode, ip_and_port, not_honoured, refuse_set, timeout, unknown_type};
use super::filter_chain::filter_chain;
use crate::config::{Error, FilterChain, FilterChainMatch, Listener, Name, Path};

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
        additional_addresses,
        stat_prefix,
        stats_matcher,
        fcds_config,
        filter_chain_matcher,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        metadata,
        drain_type,
        freebind,
        socket_options,
        tcp_fast_open_queue_length,
        traffic_direction,
        udp_listener_config,
        api_listener,
        connection_balance_config,
        enable_reuse_port,
        tcp_backlog_size,
        max_connections_to_accept_per_socket_event,
        enable_mptcp,
        ignore_global_conn_limit,
        bypass_overload_manager,
        tcp_keepalive,
        listener_specifier,
    );
    let address = ip_and_port(&path.field("address"), address)?;
    let bind_to_port = bind_to_port
        .or(deprecated_v1.and_then(|deprecated| deprecated.bind_to_port))
        .unwrap_or(true);
    if !bind_to_port && address.port() == 0 {
        return Err(path
            .field("address.socket_address.port_value")
            .error("found 0, expected the port that the listener takes connections for"));
    }
    let filters = listener_filters_of(&path.field("listener_filters"), listener_filters)?;
    let chains = filter_chains_of(&path.field("filter_chains"), filter_chains, known)?;
    let default_filter_chain = default_filter_chain
        .map(|chain| filter_chain(chain, &path.field("default_filter_chain"), known).map(Arc::new))
        .transpose()?;
    if chains.is_empty() && default_filter_chain.is_none() {
        return Err(path.field("filter_chains").error("missing: at least one is required"));
    }
    let name: Name = if name.is_empty() { address.to_string().into() } else { name.into() };
    Ok(Listener {
        name,
        address,
        bind_to_port,
        use_original_dst: use_original_dst.unwrap_or(false),
        original_dst: filters.original_dst,
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
    })
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

fn our_listener_filters() -> [String; 3] {
    [OriginalDst::full_name(), TlsInspector::full_name(), HttpInspector::full_name()]
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
