//! Pieces of Envoy's bootstrap file, which Envoy and mesh-proxy both take.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

/// What is spoken with an upstream.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Protocol {
    Tcp,
    Http1,
    Http2,
}

/// Certificate, key and roots, in files.
#[derive(Clone, Copy)]
pub(crate) struct Files<'a> {
    pub(crate) certificate: &'a Path,
    pub(crate) key: &'a Path,
    pub(crate) roots: &'a Path,
}

pub(crate) fn address(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": ip, "port_value": port}})
}

/// A listener that sends every request to one cluster.
pub(crate) fn http_listener(name: &str, at: SocketAddr, cluster: &str) -> Value {
    json!({
        "name": name,
        "address": address(at),
        "filter_chains": [{"filters": [http_connection_manager(name, cluster)]}],
    })
}

/// The filter that sends every request to one cluster.
pub(crate) fn http_connection_manager(stat_prefix: &str, cluster: &str) -> Value {
    let routes = json!([{"match": {"prefix": "/"}, "route": {"cluster": cluster}}]);
    http_connection_manager_with(stat_prefix, &routes)
}

/// The filter with these routes; it lets WebSockets through.
pub(crate) fn http_connection_manager_with(stat_prefix: &str, routes: &Value) -> Value {
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": type_url("filters.network.http_connection_manager", "HttpConnectionManager"),
            "stat_prefix": stat_prefix,
            "codec_type": "AUTO",
            "upgrade_configs": [{"upgrade_type": "websocket"}],
            "route_config": {
                "name": stat_prefix,
                "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
            },
            "http_filters": [{
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": type_url("filters.http.router", "Router")},
            }],
        },
    })
}

/// The filter that sends every connection to one cluster.
pub(crate) fn tcp_proxy(stat_prefix: &str, cluster: &str) -> Value {
    json!({
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {
            "@type": type_url("filters.network.tcp_proxy", "TcpProxy"),
            "stat_prefix": stat_prefix,
            "cluster": cluster,
        },
    })
}

/// A cluster of one endpoint.
pub(crate) fn cluster(name: &str, upstream: SocketAddr, protocol: Protocol) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address(upstream)}},
        ]}]},
    });
    let protocol = match protocol {
        Protocol::Tcp => return cluster,
        Protocol::Http1 => "http_protocol_options",
        Protocol::Http2 => "http2_protocol_options",
    };
    cluster["typed_extension_protocol_options"] = json!({
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": type_url("upstreams.http", "HttpProtocolOptions"),
            "explicit_http_config": {protocol: {}},
        },
    });
    cluster
}

/// A listener's mutual TLS.
pub(crate) fn downstream_tls(files: Files<'_>, alpn: &[&str]) -> Value {
    tls(
        "DownstreamTlsContext",
        json!({
            "require_client_certificate": true,
            "common_tls_context": common_tls(files, alpn, &[]),
        }),
    )
}

/// A cluster's mutual TLS with a server of this SPIFFE ID.
pub(crate) fn upstream_tls(files: Files<'_>, alpn: &[&str], server: &str, sni: &str) -> Value {
    tls(
        "UpstreamTlsContext",
        json!({
            "sni": sni,
            "common_tls_context": common_tls(files, alpn, &[server]),
        }),
    )
}

fn tls(kind: &str, mut context: Value) -> Value {
    context["@type"] = type_url("transport_sockets.tls", kind).into();
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

fn common_tls(files: Files<'_>, alpn: &[&str], names: &[&str]) -> Value {
    let file = |path: &Path| json!({"filename": path.display().to_string()});
    let mut validation = json!({"trusted_ca": file(files.roots)});
    if !names.is_empty() {
        let matcher = |name: &&str| json!({"san_type": "URI", "matcher": {"exact": name}});
        validation["match_typed_subject_alt_names"] = names.iter().map(matcher).collect();
    }
    json!({
        "alpn_protocols": alpn,
        "tls_certificates": [{
            "certificate_chain": file(files.certificate),
            "private_key": file(files.key),
        }],
        "validation_context": validation,
    })
}

pub(crate) fn type_url(package: &str, message: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{package}.v3.{message}")
}
