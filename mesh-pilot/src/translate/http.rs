//! The HTTP connection manager and the TCP proxy, as the mesh's proxies use them.

use mesh_proto::any;
use mesh_proto::envoy::config::listener::v3::Filter;
use mesh_proto::envoy::extensions::filters::http::router::v3::Router;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use mesh_proto::envoy::extensions::filters::network::tcp_proxy::v3::{TcpProxy, tcp_proxy};

use super::wire;

/// HTTP, routed by `routes`. The sidecar stays out of the way: no limit on how long a
/// stream may be idle, the application's own `Server` header, WebSocket let through.
pub(super) fn client(
    stat_prefix: &str,
    routes: hcm::http_connection_manager::RouteSpecifier,
) -> Filter {
    filter(&connection_manager(stat_prefix, routes))
}

/// The same for the side of the server, which tells the application who calls: only mutual
/// TLS says that, and what others say of themselves is taken out.
pub(super) fn server(
    stat_prefix: &str,
    routes: hcm::http_connection_manager::RouteSpecifier,
) -> Filter {
    use hcm::http_connection_manager::ForwardClientCertDetails;
    filter(&hcm::HttpConnectionManager {
        forward_client_cert_details: ForwardClientCertDetails::AppendForward.into(),
        set_current_client_cert_details: Some(client_details()),
        ..connection_manager(stat_prefix, routes)
    })
}

/// At the edge of the mesh: the client is who connects, and what it says of where it comes from
/// and who it is is taken out.
pub(super) fn edge(
    stat_prefix: &str,
    routes: hcm::http_connection_manager::RouteSpecifier,
) -> Filter {
    use hcm::http_connection_manager::ForwardClientCertDetails;
    filter(&hcm::HttpConnectionManager {
        forward_client_cert_details: ForwardClientCertDetails::SanitizeSet.into(),
        set_current_client_cert_details: Some(client_details()),
        use_remote_address: Some(true),
        ..connection_manager(stat_prefix, routes)
    })
}

fn client_details() -> hcm::http_connection_manager::SetCurrentClientCertDetails {
    hcm::http_connection_manager::SetCurrentClientCertDetails {
        subject: Some(true),
        uri: true,
        dns: true,
        ..Default::default()
    }
}

fn filter(manager: &hcm::HttpConnectionManager) -> Filter {
    wire::filter("envoy.filters.network.http_connection_manager", manager)
}

fn connection_manager(
    stat_prefix: &str,
    routes: hcm::http_connection_manager::RouteSpecifier,
) -> hcm::HttpConnectionManager {
    use hcm::http_connection_manager::{ServerHeaderTransformation, UpgradeConfig};
    let router = hcm::HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(any::pack(&Router::default()))),
        ..Default::default()
    };
    let websocket = UpgradeConfig { upgrade_type: "websocket".to_owned(), ..Default::default() };
    hcm::HttpConnectionManager {
        stat_prefix: stat_prefix.to_owned(),
        http_filters: vec![router],
        upgrade_configs: vec![websocket],
        stream_idle_timeout: Some(wire::no_timeout()),
        server_header_transformation: ServerHeaderTransformation::PassThrough.into(),
        use_remote_address: Some(false),
        route_specifier: Some(routes),
        ..Default::default()
    }
}

/// Every byte to one cluster.
pub(super) fn tcp(cluster: &str) -> Filter {
    let proxy = TcpProxy {
        stat_prefix: cluster.to_owned(),
        cluster_specifier: Some(tcp_proxy::ClusterSpecifier::Cluster(cluster.to_owned())),
        ..Default::default()
    };
    wire::filter("envoy.filters.network.tcp_proxy", &proxy)
}
