//! Envoy's bootstrap, which mesh-proxy takes too.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};

use crate::bench::proxy::contender::Doors;
use crate::bench::proxy::setup::{CLUSTERS, Door, ENDPOINTS, ROUTES, Setup};
use crate::bench::proxy::upstreams::{SERVER, Upstreams};
use crate::bootstrap::{
    Files, Protocol, address, cluster, downstream_tls, http_connection_manager,
    http_connection_manager_with, tcp_proxy,
};

/// The bootstrap of a setup whose doors are there.
pub(in crate::bench::proxy) fn bootstrap(
    setup: Setup,
    doors: &Doors,
    admin: SocketAddr,
    upstreams: &Upstreams,
    folder: &Path,
) -> Value {
    let mut listeners = Vec::new();
    let mut clusters = Vec::new();
    for (door, at) in doors.iter() {
        let name = format!("{door:?}");
        let (behind, protocol) = upstreams.behind(*door);
        listeners.push(listener(setup, *door, &name, *at, folder));
        clusters.push(cluster(&name, behind, protocol));
    }
    if setup == Setup::Clusters {
        clusters.extend((0..CLUSTERS).map(more));
    }
    json!({
        "admin": {"address": address(admin)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })
}

fn listener(setup: Setup, door: Door, name: &str, at: SocketAddr, folder: &Path) -> Value {
    let filter = match door {
        Door::Tcp => tcp_proxy(name, name),
        _ if setup == Setup::Routes => http_connection_manager_with(name, &routes(name)),
        _ => http_connection_manager(name, name),
    };
    let mut chain = json!({"filters": [filter]});
    if door == Door::Tls {
        chain["transport_socket"] = tls(folder);
    }
    json!({"name": name, "address": address(at), "filter_chains": [chain]})
}

/// Half by path and half by prefix, in turn; the last one is by path.
fn routes(cluster: &str) -> Value {
    let one = |at: usize| {
        let path = format!("/route/{at}");
        let matcher = if at.is_multiple_of(2) {
            json!({"prefix": path + "/"})
        } else {
            json!({"path": path})
        };
        json!({"match": matcher, "route": {"cluster": cluster}})
    };
    (0..ROUTES).map(one).collect()
}

/// With a certificate of its own, and none asked of clients.
fn tls(folder: &Path) -> Value {
    let file = |end: &str| folder.join(format!("{SERVER}.{end}"));
    let (certificate, key, roots) = (file("pem"), file("key"), folder.join("root.pem"));
    let files = Files { certificate: &certificate, key: &key, roots: &roots };
    let mut tls = downstream_tls(files, &["http/1.1"]);
    let context = &mut tls["typed_config"];
    context["require_client_certificate"] = false.into();
    if let Some(common) = context["common_tls_context"].as_object_mut() {
        common.remove("validation_context");
    }
    tls
}

/// A cluster that gets no requests.
fn more(at: usize) -> Value {
    let name = format!("outbound|80||service-{at}.default.svc.cluster.local");
    let endpoint = |number: usize| {
        let [.., high, low] = (at * ENDPOINTS + number).to_be_bytes();
        let endpoint = SocketAddr::from(([10, 1, high, low], 8080));
        json!({"endpoint": {"address": address(endpoint)}})
    };
    let endpoints: Vec<Value> = (0..ENDPOINTS).map(endpoint).collect();
    let mut cluster = cluster(&name, SocketAddr::from(([10, 0, 0, 1], 80)), Protocol::Http1);
    cluster["load_assignment"]["endpoints"] = json!([{"lb_endpoints": endpoints}]);
    cluster
}
