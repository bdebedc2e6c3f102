//! The route tables that stand in listeners.

use mesh_proto::any;
use mesh_proto::envoy::admin::v3::routes_config_dump::StaticRouteConfig;
use mesh_proto::envoy::config::listener::v3::filter::ConfigType;
use mesh_proto::envoy::config::listener::v3::{FilterChain, Listener};
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager::RouteSpecifier;
use prost_types::{Any, Timestamp};

use super::Write;

/// Those of a listener, which is decoded anew: dumps are rare.
pub(super) fn of(
    listener: &Any,
    last_updated: Option<Timestamp>,
    write: Write,
) -> Vec<StaticRouteConfig> {
    let Some(Ok(listener)) = any::unpack::<Listener>(listener) else { return Vec::new() };
    let chains = listener.filter_chains.iter().chain(&listener.default_filter_chain);
    let tables = chains.flat_map(tables);
    tables
        .map(|table| StaticRouteConfig { route_config: Some(write(&table)), last_updated })
        .collect()
}

fn tables(chain: &FilterChain) -> impl Iterator<Item = Any> {
    chain.filters.iter().filter_map(|filter| {
        let Some(ConfigType::TypedConfig(config)) = &filter.config_type else { return None };
        let manager = any::unpack::<HttpConnectionManager>(config)?.ok()?;
        match manager.route_specifier? {
            RouteSpecifier::RouteConfig(table) => Some(any::pack(&table)),
            RouteSpecifier::Rds(_) | RouteSpecifier::ScopedRoutes(_) => None,
        }
    })
}
