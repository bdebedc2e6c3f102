//! Small pieces of Envoy's messages.

use std::net::IpAddr;
use std::time::Duration;

use mesh_proto::any;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_proto::envoy::config::listener::v3::{Filter, ListenerFilter, filter, listener_filter};
use mesh_proto::envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector;
use prost::{Message, Name};

pub(super) fn socket_address(address: &str, port: u16) -> core::SocketAddress {
    core::SocketAddress {
        address: address.to_owned(),
        port_specifier: Some(core::socket_address::PortSpecifier::PortValue(port.into())),
        ..Default::default()
    }
}

pub(super) fn address(address: &str, port: u16) -> core::Address {
    let socket = core::address::Address::SocketAddress(socket_address(address, port));
    core::Address { address: Some(socket) }
}

pub(super) fn ip_address(ip: IpAddr, port: u16) -> core::Address {
    address(&ip.to_string(), port)
}

/// From the stream that it came by.
pub(super) fn ads() -> core::ConfigSource {
    core::ConfigSource {
        resource_api_version: core::ApiVersion::V3.into(),
        config_source_specifier: Some(core::config_source::ConfigSourceSpecifier::Ads(
            core::AggregatedConfigSource {},
        )),
        ..Default::default()
    }
}

/// Longer ones than a proto can hold are as good as the longest.
pub(super) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or_default(),
    }
}

/// How Envoy writes "no limit".
pub(super) fn no_timeout() -> prost_types::Duration {
    prost_types::Duration::default()
}

pub(super) fn filter<M: Message + Name>(name: &str, config: &M) -> Filter {
    let config_type = Some(filter::ConfigType::TypedConfig(any::pack(config)));
    Filter { name: name.to_owned(), config_type }
}

pub(super) fn listener_filter<M: Message + Name>(name: &str, config: &M) -> ListenerFilter {
    ListenerFilter {
        name: name.to_owned(),
        config_type: Some(listener_filter::ConfigType::TypedConfig(any::pack(config))),
        ..Default::default()
    }
}

/// Finds out whether a client speaks TLS, and what it asks for.
pub(super) fn tls_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.tls_inspector", &TlsInspector::default())
}
