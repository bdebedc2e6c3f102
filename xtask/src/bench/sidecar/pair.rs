//! Two sidecars: the client's sends by mutual TLS what the server's takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::net::{PROXY_UID, Pods, SERVER};
use crate::bench::CORES;
use crate::bench::client::Workload;
use crate::bootstrap::{self, Files, Protocol};
use crate::process::{Running, Usage};

const OUTBOUND: u16 = 15001;
const INBOUND: u16 = 15006;

/// Which proxy, and where its program is.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) program: PathBuf,
    /// Flags of its own.
    pub(super) flags: &'static [&'static str],
}

/// The pair, running.
pub(super) struct Pair {
    client: Running,
    server: Running,
}

impl Pair {
    /// Starts both on the proxies' core, with the certificates in `folder`.
    ///
    /// # Errors
    /// When one does not listen in time.
    pub(super) fn start(kind: &Kind, pods: &Pods, folder: &Path) -> Result<Self> {
        let start = |netns: &super::net::Netns, side, config: Value, port| {
            let name = format!("{}-{side}", kind.name);
            let file = folder.join(format!("{name}.json"));
            std::fs::write(&file, format!("{config:#}"))?;
            let file = file.display().to_string();
            let mut place = netns.place(CORES[1]);
            place.uid = Some(PROXY_UID);
            let args = [kind.flags, &["--concurrency", "1", "-c", &file]].concat();
            let mut proxy = Running::start(&name, place, &kind.program, &args, folder)?;
            proxy.listening(&[port]).context(name)?;
            anyhow::Ok(proxy)
        };
        let server = start(&pods.server, "server", server(folder), INBOUND)?;
        let client = start(&pods.client, "client", client(folder), OUTBOUND)?;
        Ok(Self { client, server })
    }

    /// What both have used so far.
    pub(super) fn usage(&self) -> Result<Usage> {
        let (client, server) = (Usage::of(self.client.id())?, self.server()?);
        let (cpu, resident) = (client.cpu + server.cpu, client.resident + server.resident);
        Ok(Usage { cpu, resident })
    }

    /// What the server's has used so far.
    pub(super) fn server(&self) -> Result<Usage> {
        Usage::of(self.server.id())
    }
}

/// The port of the application by which a workload goes through the sidecars, and the one by
/// which it goes past them.
pub(super) fn ports(workload: Workload) -> (u16, u16) {
    match workload {
        Workload::Http1 => (8080, 9080),
        Workload::Http2 => (8081, 9081),
    }
}

fn protocol(workload: Workload) -> Protocol {
    match workload {
        Workload::Http1 => Protocol::Http1,
        Workload::Http2 => Protocol::Http2,
    }
}

/// Who the server is, by the name that `mesh-load certificates` is given.
pub(super) fn identity(name: &str) -> String {
    format!("spiffe://cluster.local/ns/default/sa/{name}")
}

fn any(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

fn with_files<T>(folder: &Path, name: &str, make: impl FnOnce(Files<'_>) -> T) -> T {
    let certificate = folder.join(format!("{name}.pem"));
    let key = folder.join(format!("{name}.key"));
    let roots = folder.join("root.pem");
    make(Files { certificate: &certificate, key: &key, roots: &roots })
}

/// One bound listener, and one that is not for each port of the service, as in Istio.
fn client(folder: &Path) -> Value {
    let mut listeners = vec![json!({
        "name": "virtualOutbound",
        "address": bootstrap::address(any(OUTBOUND)),
        "use_original_dst": true,
        "filter_chains": [{"filters": [bootstrap::tcp_proxy("passthrough", "passthrough")]}],
    })];
    let mut clusters = vec![json!({
        "name": "passthrough",
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
    })];
    for workload in Workload::ALL {
        let (port, _) = ports(workload);
        let name = format!("outbound|{port}");
        let mut listener = bootstrap::http_listener(&name, any(port), &name);
        listener["bind_to_port"] = false.into();
        listeners.push(listener);
        let mut cluster = bootstrap::cluster(&name, (SERVER, port).into(), protocol(workload));
        let sni = format!("outbound_.{port}_._.server.default.svc.cluster.local");
        // As Istio's.
        let alpn: &[&str] = match workload {
            Workload::Http1 => &["istio"],
            Workload::Http2 => &["istio", "h2"],
        };
        cluster["transport_socket"] = with_files(folder, "client", |files| {
            bootstrap::upstream_tls(files, alpn, &identity("server"), &sni)
        });
        clusters.push(cluster);
    }
    json!({"static_resources": {"listeners": listeners, "clusters": clusters}})
}

fn server(folder: &Path) -> Value {
    let (mut chains, mut clusters) = (Vec::new(), Vec::new());
    for workload in Workload::ALL {
        let (port, _) = ports(workload);
        let name = format!("inbound|{port}");
        chains.push(json!({
            "name": name,
            "filter_chain_match": {"destination_port": port, "transport_protocol": "tls"},
            "transport_socket": with_files(folder, "server", |files| {
                bootstrap::downstream_tls(files, &["h2", "http/1.1"])
            }),
            "filters": [bootstrap::http_connection_manager(&name, &name)],
        }));
        let application = (Ipv4Addr::LOCALHOST, port).into();
        clusters.push(bootstrap::cluster(&name, application, protocol(workload)));
    }
    let filter = |short: &str, message: &str| {
        let package = format!("filters.listener.{short}");
        let name = format!("envoy.{package}");
        json!({"name": name, "typed_config": {"@type": bootstrap::type_url(&package, message)}})
    };
    json!({"static_resources": {
        "listeners": [{
            "name": "virtualInbound",
            "address": bootstrap::address(any(INBOUND)),
            "listener_filters": [
                filter("original_dst", "OriginalDst"),
                filter("tls_inspector", "TlsInspector"),
            ],
            "filter_chains": chains,
        }],
        "clusters": clusters,
    }})
}
