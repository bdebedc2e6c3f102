//! `FilterChain`, `FilterChainMatch` and the network filters.

use std::net::IpAddr;
use std::sync::Arc;

use mesh_proto::any;
use mesh_proto::envoy::config::core::v3::CidrRange;
use mesh_proto::envoy::config::listener::v3 as proto;
use mesh_proto::envoy::extensions::filters::network::{
    connection_limit::v3::ConnectionLimit as ConnectionLimitMessage,
    http_connection_manager::v3::HttpConnectionManager, tcp_proxy::v3::TcpProxy,
};
use prost::Name as _;
use prost_types::Any;
use proto::filter_chain_match::ConnectionSourceType;

use super::KnownClusters;
use super::common::{
    decode, enumeration, ip, not_honoured, port, refuse_set, required, required_name, timeout,
    unknown_type,
};
use super::http_connection_manager::http_connection_manager;
use super::tcp_proxy::tcp_proxy;
use super::transport_socket;
use crate::config::{
    ConnectionLimit, Error, FilterChain, FilterChainMatch, Name, NetworkFilter, Path, SourceType,
};

/// Envoy's `FilterChain`.
pub(super) fn filter_chain(
    chain: proto::FilterChain,
    path: &Path,
    known: KnownClusters<'_>,
) -> Result<FilterChain, Error> {
    let proto::FilterChain {
        filter_chain_match,
        filters,
        use_proxy_proto,
        metadata,
        transport_socket,
        transport_socket_connect_timeout,
        name,
    } = chain;
    let use_proxy_proto = use_proxy_proto == Some(true);
    refuse_set!(path, FilterChain, use_proxy_proto, metadata);
    let matcher = filter_chain_match.unwrap_or_default();
    let (connection_limits, filter) = network_filters(&path.field("filters"), filters, known)?;
    Ok(FilterChain {
        name: name.into(),
        matcher: filter_chain_match_of(&path.field("filter_chain_match"), matcher)?,
        tls: transport_socket::of_filter_chain(path, transport_socket)?,
        handshake_timeout: timeout(
            path,
            "transport_socket_connect_timeout",
            transport_socket_connect_timeout,
            None,
        )?,
        connection_limits,
        filter,
    })
}

fn filter_chain_match_of(
    path: &Path,
    matcher: proto::FilterChainMatch,
) -> Result<FilterChainMatch, Error> {
    let proto::FilterChainMatch {
        destination_port,
        prefix_ranges,
        address_suffix,
        suffix_len,
        direct_source_prefix_ranges,
        source_type,
        source_prefix_ranges,
        source_ports,
        server_names,
        transport_protocol,
        application_protocols,
    } = matcher;
    refuse_set!(path, FilterChainMatch, address_suffix, suffix_len);
    let destination_port = match destination_port {
        None => None,
        Some(0) => {
            let path = path.field("destination_port");
            return Err(path.error("found 0, expected a port from 1 to 65535"));
        }
        Some(value) => Some(port(&path.field("destination_port"), value)?),
    };
    let transport_protocol: Option<Name> = match transport_protocol.as_str() {
        "" => None,
        known @ ("raw_buffer" | "tls") => Some(known.into()),
        other => {
            let path = path.field("transport_protocol");
            return Err(path.error(format!("found {other:?}, expected \"tls\" or \"raw_buffer\"")));
        }
    };
    Ok(FilterChainMatch {
        destination_port,
        prefix_ranges: ranges(&path.field("prefix_ranges"), prefix_ranges)?,
        server_names: server_names_of(&path.field("server_names"), server_names)?,
        transport_protocol,
        application_protocols: application_protocols.into_iter().map(Name::from).collect(),
        direct_source_prefix_ranges: ranges(
            &path.field("direct_source_prefix_ranges"),
            direct_source_prefix_ranges,
        )?,
        source_type: match enumeration(path, "source_type", source_type)? {
            ConnectionSourceType::Any => SourceType::Any,
            ConnectionSourceType::SameIpOrLoopback => SourceType::Local,
            ConnectionSourceType::External => SourceType::External,
        },
        source_prefix_ranges: ranges(&path.field("source_prefix_ranges"), source_prefix_ranges)?,
        source_ports: ports(&path.field("source_ports"), source_ports)?,
    })
}

fn ports(path: &Path, ports: Vec<u32>) -> Result<Vec<u16>, Error> {
    ports.into_iter().enumerate().map(|(index, value)| port(&path.index(index), value)).collect()
}

/// "*.a" is a wildcard; Envoy takes none in any other place.
fn server_names_of(path: &Path, names: Vec<String>) -> Result<Vec<Name>, Error> {
    let name = |(index, name): (usize, String)| {
        let plain = name.strip_prefix("*.").unwrap_or(&name);
        if plain.is_empty() || plain.contains('*') {
            let message = format!("found {name:?}, expected a name such as \"a.b\" or \"*.b\"");
            return Err(path.index(index).error(message));
        }
        Ok(Name::from(name))
    };
    names.into_iter().enumerate().map(name).collect()
}

pub(super) fn ranges(path: &Path, ranges: Vec<CidrRange>) -> Result<Vec<(IpAddr, u8)>, Error> {
    let range = |(index, range): (usize, CidrRange)| {
        let path = path.index(index);
        let CidrRange { address_prefix, prefix_len } = range;
        let address = ip(&path.field("address_prefix"), &address_prefix)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        match prefix_len.unwrap_or(0) {
            // Fits: it is at most 128.
            length if length <= most => Ok((network(address, length), length as u8)),
            length => {
                Err(path.field("prefix_len").error(format!("found {length}, expected 0 to {most}")))
            }
        }
    };
    ranges.into_iter().enumerate().map(range).collect()
}

/// The address without the bits behind the prefix, so that equal ranges compare equal.
fn network(address: IpAddr, length: u32) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// The filters of a chain: connection limits, and the terminal one.
fn network_filters(
    path: &Path,
    mut filters: Vec<proto::Filter>,
    known: KnownClusters<'_>,
) -> Result<(Vec<ConnectionLimit>, NetworkFilter), Error> {
    let Some(last) = filters.pop() else {
        return Err(path.error(format!("found none, expected one of {}", ours().join(", "))));
    };
    let mut limits = Vec::with_capacity(filters.len());
    for (index, filter) in filters.into_iter().enumerate() {
        let path = path.index(index).field("typed_config");
        let any = typed_config(&path, filter)?;
        if !any::is::<ConnectionLimitMessage>(&any) {
            let message = match is_terminal(&any) {
                true => "stands before another filter, and ends the chain; put it last".to_owned(),
                false => return Err(unknown_type(&path, Some(&any), &ours())),
            };
            return Err(path.error(message));
        }
        limits.push(connection_limit(decode(&path, &any)?, &path)?);
    }
    let path = path.index(limits.len()).field("typed_config");
    let any = typed_config(&path, last)?;
    Ok((limits, terminal_filter(&path, &any, known)?))
}

fn typed_config(path: &Path, filter: proto::Filter) -> Result<Any, Error> {
    use proto::filter::ConfigType;
    let proto::Filter { name: _, config_type } = filter;
    match config_type {
        Some(ConfigType::TypedConfig(any)) => Ok(any),
        Some(ConfigType::ConfigDiscovery(_)) => Err(not_honoured(path)),
        None => Err(unknown_type(path, None, &ours())),
    }
}

fn is_terminal(any: &Any) -> bool {
    any::is::<HttpConnectionManager>(any) || any::is::<TcpProxy>(any)
}

fn terminal_filter(
    path: &Path,
    any: &Any,
    known: KnownClusters<'_>,
) -> Result<NetworkFilter, Error> {
    if any::is::<HttpConnectionManager>(any) {
        let manager = http_connection_manager(decode(path, any)?, path, known)?;
        return Ok(NetworkFilter::Http(Arc::new(manager)));
    }
    if any::is::<TcpProxy>(any) {
        return Ok(NetworkFilter::Tcp(Arc::new(tcp_proxy(decode(path, any)?, path)?)));
    }
    if any::is::<ConnectionLimitMessage>(any) {
        return Err(path.error("does not end the chain; another filter must follow it"));
    }
    Err(unknown_type(path, Some(any), &ours()))
}

fn connection_limit(wire: ConnectionLimitMessage, path: &Path) -> Result<ConnectionLimit, Error> {
    let ConnectionLimitMessage { stat_prefix, max_connections, delay, runtime_enabled } = wire;
    refuse_set!(path, ConnectionLimit, runtime_enabled);
    let max_connections = required(path, "max_connections", max_connections)?;
    if max_connections == 0 {
        return Err(path.field("max_connections").error("found 0, expected 1 or more"));
    }
    Ok(ConnectionLimit {
        stat_prefix: required_name(path, "stat_prefix", &stat_prefix)?,
        max_connections,
        delay: timeout(path, "delay", delay, None)?,
    })
}

fn ours() -> [String; 3] {
    [HttpConnectionManager::full_name(), TcpProxy::full_name(), ConnectionLimitMessage::full_name()]
}
