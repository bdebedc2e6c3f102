//! Pieces of Envoy's configuration.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};

use super::{log_file, slug};
use crate::case::Case;

pub(super) fn manager(case: &Case, index: usize) -> Value {
    let mut virtual_hosts = case.virtual_hosts.clone();
    if virtual_hosts.is_empty() {
        virtual_hosts.push(json!({"name": "all", "domains": ["*"], "routes": case.routes}));
    }
    let mut routes = json!({"name": slug(index), "virtual_hosts": virtual_hosts});
    merge(&mut routes, &case.route_config);
    let mut filters = case.http_filters.clone();
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": type_url("filters.http.router.v3.Router")},
    }));
    let mut manager = json!({
        "@type": type_url("filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": slug(index),
        "route_config": routes,
        "http_filters": filters,
        "access_log": [access_log(case, index)],
        // So long Envoy waits for the client to close a connection first.
        "delayed_close_timeout": "0.2s",
    });
    merge(&mut manager, &case.manager);
    json!({"name": "envoy.filters.network.http_connection_manager", "typed_config": manager})
}

pub(super) fn tcp_proxy(case: &Case, fields: &Map<String, Value>, index: usize) -> Value {
    let mut proxy = json!({
        "@type": type_url("filters.network.tcp_proxy.v3.TcpProxy"),
        "stat_prefix": slug(index),
        "access_log": [access_log(case, index)],
    });
    merge(&mut proxy, fields);
    json!({"name": "envoy.filters.network.tcp_proxy", "typed_config": proxy})
}

/// What is compared of each request beside what was sent and received.
fn access_log(case: &Case, index: usize) -> Value {
    let mut log = json!({
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": type_url("access_loggers.file.v3.FileAccessLog"),
            "path": log_file(index),
            "log_format": {"json_format": {
                "request": "%REQ(:METHOD)% %REQ(:PATH)% %PROTOCOL%",
                "authority": "%REQ(:AUTHORITY)%",
                "status": "%RESPONSE_CODE%",
                "flags": "%RESPONSE_FLAGS%",
                "details": "%RESPONSE_CODE_DETAILS%",
                "cluster": "%UPSTREAM_CLUSTER%",
                "host": "%UPSTREAM_HOST%",
                "route": "%ROUTE_NAME%",
                "received": "%BYTES_RECEIVED%",
                "sent": "%BYTES_SENT%",
            }},
        },
    });
    merge(&mut log["typed_config"]["log_format"]["json_format"], &case.log);
    if let Some(filter) = &case.log_filter {
        log["filter"] = filter.clone();
    }
    log
}

/// A cluster with our shorthands worked out.
pub(super) fn cluster(name: &str, fields: &Value) -> Result<Value> {
    let fields = fields.as_object().with_context(|| format!("cluster {name}: not a map"))?;
    let mut cluster = json!({"name": name, "type": "STATIC", "connect_timeout": "1s"});
    let mut fields = fields.clone();
    if let Some(hosts) = fields.remove("hosts") {
        let hosts = hosts.as_array().with_context(|| format!("cluster {name}: hosts: no list"))?;
        let endpoints = hosts.iter().map(endpoint).collect::<Result<Vec<_>>>()?;
        cluster["load_assignment"] =
            json!({"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]});
    }
    if let Some(Value::Object(context)) = fields.remove("tls") {
        cluster["transport_socket"] = tls("UpstreamTlsContext", &context);
    }
    if fields.remove("http2") == Some(json!(true)) {
        cluster["typed_extension_protocol_options"] = json!({
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": type_url("upstreams.http.v3.HttpProtocolOptions"),
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        });
    }
    merge(&mut cluster, &fields);
    Ok(cluster)
}

pub(super) fn tls(kind: &str, fields: &Map<String, Value>) -> Value {
    let mut context = json!({"@type": type_url(&format!("transport_sockets.tls.v3.{kind}"))});
    merge(&mut context, fields);
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}

fn endpoint(host: &Value) -> Result<Value> {
    let at = |name: &str| json!({"address": format!("${name}")});
    match host {
        Value::String(name) => Ok(json!({ "endpoint": at(name) })),
        Value::Object(fields) => {
            let mut fields = fields.clone();
            let Some(Value::String(name)) = fields.remove("at") else {
                bail!("a host without at: {host}");
            };
            let mut endpoint = json!({ "endpoint": at(&name) });
            merge(&mut endpoint, &fields);
            Ok(endpoint)
        }
        _ => bail!("not a host: {host}"),
    }
}

pub(super) fn merge(into: &mut Value, fields: &Map<String, Value>) {
    for (name, value) in fields {
        into[name] = value.clone();
    }
}

pub(super) fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

fn type_url(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}
