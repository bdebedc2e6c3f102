//! The proxies that are measured: each forwards one port's HTTP/1.1 and another's HTTP/2.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::Workload;
use super::process::{Pinned, free_addresses};
use super::upstream::Upstream;
use crate::paths::find_command;

/// Which proxy, and where its program is.
pub(super) enum Kind {
    Envoy(PathBuf),
    HaProxy,
    MeshProxy(PathBuf),
}

impl Kind {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Envoy(_) => "envoy",
            Self::HaProxy => "haproxy",
            Self::MeshProxy(_) => "mesh-proxy",
        }
    }
}

/// A running proxy.
pub(super) struct Contender {
    http1: SocketAddr,
    http2: SocketAddr,
    process: Pinned,
}

impl Contender {
    /// Starts it with one worker on a core of its own.
    pub(super) fn start(kind: &Kind, upstream: &Upstream, folder: &Path) -> Result<Self> {
        let [http1, http2, admin] = free_addresses()?;
        let start =
            |program: &Path, args: &[&str]| Pinned::start(super::CORES[1], program, args, folder);
        let bootstrap = || -> Result<String> {
            let file = folder.join("bootstrap.json");
            std::fs::write(&file, bootstrap(http1, http2, admin, upstream).to_string())?;
            Ok(file.display().to_string())
        };
        // Envoy and mesh-proxy have the same file.
        let mut process = match kind {
            Kind::Envoy(path) => {
                let file = bootstrap()?;
                let quiet = ["--disable-hot-restart", "--log-level", "warning"];
                start(path, &[&quiet[..], &["--concurrency", "1", "-c", &file]].concat())?
            }
            Kind::MeshProxy(path) => {
                let file = bootstrap()?;
                start(path, &["--log-level", "warn", "--concurrency", "1", "-c", &file])?
            }
            Kind::HaProxy => {
                let file = folder.join("haproxy.cfg");
                std::fs::write(&file, haproxy(http1, http2, upstream))?;
                let path = find_command("haproxy").context("haproxy is not installed")?;
                start(&path, &["-db", "-f", &file.display().to_string()])?
            }
        };
        process.listening(&[http1, http2]).context(kind.name())?;
        Ok(Self { http1, http2, process })
    }

    pub(super) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(super) fn address(&self, workload: Workload) -> SocketAddr {
        match workload {
            Workload::Http1 => self.http1,
            Workload::Http2 => self.http2,
        }
    }
}

fn haproxy(http1: SocketAddr, http2: SocketAddr, upstream: &Upstream) -> String {
    format!(
        "global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend http1
  bind {http1}
  default_backend http1
frontend http2
  bind {http2} proto h2
  default_backend http2
backend http1
  server nginx {}
backend http2
  server nginx {} proto h2
",
        upstream.http1, upstream.http2
    )
}

fn bootstrap(
    http1: SocketAddr,
    http2: SocketAddr,
    admin: SocketAddr,
    upstream: &Upstream,
) -> Value {
    json!({
        "admin": {"address": address(admin)},
        "static_resources": {
            "listeners": [listener("http1", http1), listener("http2", http2)],
            "clusters": [
                cluster("http1", upstream.http1, "http_protocol_options"),
                cluster("http2", upstream.http2, "http2_protocol_options"),
            ],
        },
    })
}

fn address(address: SocketAddr) -> Value {
    let (ip, port) = (address.ip().to_string(), address.port());
    json!({"socket_address": {"address": ip, "port_value": port}})
}

fn listener(name: &str, at: SocketAddr) -> Value {
    let manager = "envoy.extensions.filters.network.http_connection_manager.v3";
    json!({
        "name": name,
        "address": address(at),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": format!("type.googleapis.com/{manager}.HttpConnectionManager"),
                "stat_prefix": name,
                "codec_type": "AUTO",
                "route_config": {"name": name, "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{"match": {"prefix": "/"}, "route": {"cluster": name}}],
                }]},
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {
                        "@type":
                            "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                    },
                }],
            },
        }]}],
    })
}

fn cluster(name: &str, upstream: SocketAddr, protocol: &str) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type":
                    "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {protocol: {}},
            },
        },
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": address(upstream)}},
        ]}]},
    })
}
