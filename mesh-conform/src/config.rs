//! From cases to the one file that both proxies get.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Map, Value, json};

use crate::case::{Area, Case};

const ADMIN_PORT: u16 = 9901;
const FIRST_LISTENER: u16 = 10_000;
const FIRST_UPSTREAM: u16 = 20_000;
/// Where nobody listens.
const REFUSED: &str = "refused";

/// The addresses of an area: on an IP address of its own out of 127.0.0.0/8, so that nothing
/// else has its ports.
pub(crate) struct Plan {
    ip: Ipv4Addr,
    /// Where certificates and keys are.
    files: PathBuf,
    /// Every upstream that the area's configuration names.
    pub(crate) hosts: BTreeMap<String, SocketAddr>,
}

impl Plan {
    /// # Errors
    /// When a cluster is there twice, or a shorthand is not understood.
    pub(crate) fn new(area: &Area, ip: Ipv4Addr, files: &Path) -> Result<Self> {
        let mut plan = Self { ip, files: files.to_owned(), hosts: BTreeMap::new() };
        let all: Vec<usize> = (0..area.cases.len()).collect();
        let mut names = BTreeSet::new();
        let mut whole = plan.unresolved(area, &all)?;
        hosts(&mut whole, &mut |name| {
            let _ = names.insert(name.to_owned());
        });
        for (port, name) in (FIRST_UPSTREAM..).zip(names) {
            plan.hosts.insert(name, SocketAddr::new(ip.into(), port));
        }
        Ok(plan)
    }

    pub(crate) fn admin(&self) -> SocketAddr {
        SocketAddr::new(self.ip.into(), ADMIN_PORT)
    }

    /// Where the case of this number listens.
    pub(crate) fn listener(&self, index: usize) -> SocketAddr {
        SocketAddr::new(self.ip.into(), FIRST_LISTENER + index as u16)
    }

    /// The bootstrap with the cases of these numbers.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub(crate) fn bootstrap(&self, area: &Area, cases: &[usize]) -> Result<Value> {
        let mut whole = self.unresolved(area, cases)?;
        self.resolve(&mut whole);
        Ok(whole)
    }

    /// Addresses as people read them.
    pub(crate) fn named(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, address) in &self.hosts {
            text = text.replace(&address.to_string(), name);
        }
        text.replace(&self.ip.to_string(), "IP")
    }

    fn unresolved(&self, area: &Area, cases: &[usize]) -> Result<Value> {
        let mut clusters: BTreeMap<&str, Value> = BTreeMap::new();
        let own = [("a", "a1"), ("b", "b1"), ("c", "c1"), ("http2", "h1"), (REFUSED, REFUSED)];
        for (name, host) in own {
            let fields = json!({"hosts": [host], "http2": name == "http2"});
            clusters.insert(name, cluster(name, &fields)?);
        }
        let mut listeners = Vec::new();
        let more = cases.iter().map(|index| &area.cases[*index].clusters);
        for (name, fields) in more.chain([&area.clusters]).flatten() {
            let twice = clusters.insert(name, cluster(name, fields)?);
            ensure!(twice.is_none(), "cluster {name:?} is there twice");
        }
        for index in cases {
            listeners.push(self.listener_of(&area.cases[*index], *index));
        }
        let clusters: Vec<Value> = clusters.into_values().collect();
        let mut bootstrap = json!({
            "node": {"id": "conform", "cluster": "conform"},
            "admin": {"address": address(self.admin())},
            "static_resources": {"listeners": listeners, "clusters": clusters},
        });
        merge(&mut bootstrap, &area.bootstrap);
        Ok(bootstrap)
    }

    fn listener_of(&self, case: &Case, index: usize) -> Value {
        let filter = match &case.tcp {
            Some(fields) => tcp_proxy(case, fields, index),
            None => manager(case, index),
        };
        let mut chain = json!({ "filters": [filter] });
        if let Some(fields) = &case.tls {
            chain["transport_socket"] = tls("DownstreamTlsContext", fields);
        }
        merge(&mut chain, &case.filter_chain);
        let mut listener = json!({
            "name": slug(index),
            "address": address(self.listener(index)),
            "filter_chains": [chain],
        });
        merge(&mut listener, &case.listener);
        listener
    }

    fn resolve(&self, value: &mut Value) {
        replace(value, &mut |text| {
            if let Some(name) = host_name(text) {
                let nobody = SocketAddr::new(IpAddr::V4(self.ip), FIRST_UPSTREAM - 1);
                return Some(address(*self.hosts.get(name).unwrap_or(&nobody)));
            }
            let file = text.strip_prefix('@')?;
            let is_file = file.ends_with(".pem") || file.ends_with(".key");
            is_file.then(|| json!({"filename": self.files.join(file).display().to_string()}))
        });
    }
}

/// What the case of this number is called in names of statistics and files.
pub(crate) fn slug(index: usize) -> String {
    format!("case{index}")
}

/// Where its access log is, in the folder where the proxy runs.
pub(crate) fn log_file(index: usize) -> String {
    format!("{}.log", slug(index))
}

fn manager(case: &Case, index: usize) -> Value {
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

fn tcp_proxy(case: &Case, fields: &Map<String, Value>, index: usize) -> Value {
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
fn cluster(name: &str, fields: &Value) -> Result<Value> {
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

fn tls(kind: &str, fields: &Map<String, Value>) -> Value {
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

fn merge(into: &mut Value, fields: &Map<String, Value>) {
    for (name, value) in fields {
        into[name] = value.clone();
    }
}

/// Calls `found` with the name of every upstream that is to be started.
fn hosts(value: &mut Value, found: &mut dyn FnMut(&str)) {
    replace(value, &mut |text| {
        host_name(text).filter(|name| *name != REFUSED).map(&mut *found);
        None
    });
}

/// The upstream that `$NAME` stands for.
fn host_name(text: &str) -> Option<&str> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.strip_prefix('$').filter(|name| !name.is_empty() && name.chars().all(is_name))
}

/// Puts something in the place of texts.
fn replace(value: &mut Value, with: &mut dyn FnMut(&str) -> Option<Value>) {
    match value {
        Value::Object(map) => map.values_mut().for_each(|value| replace(value, with)),
        Value::Array(list) => list.iter_mut().for_each(|value| replace(value, with)),
        Value::String(text) => {
            if let Some(other) = with(text) {
                *value = other;
            }
        }
        _ => {}
    }
}

fn address(at: SocketAddr) -> Value {
    json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}})
}

fn type_url(name: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.{name}")
}
