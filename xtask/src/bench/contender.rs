//! The proxies that are measured: each forwards one port's HTTP/1.1 and another's HTTP/2.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::Workload;
use super::upstream::Upstream;
use crate::bootstrap::{Protocol, address, cluster, http_listener};
use crate::paths::find_command;
use crate::process::{Place, Running, free_addresses};

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
    process: Running,
}

impl Contender {
    /// Starts it with one worker on a core of its own.
    pub(super) fn start(kind: &Kind, upstream: &Upstream, folder: &Path) -> Result<Self> {
        let [http1, http2, admin] = free_addresses()?;
        let place = Place::core(super::CORES[1]);
        let start = |program: &Path, args: &[&str]| {
            Running::start(kind.name(), place, program, args, folder)
        };
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
        process.listening(&[http1.port(), http2.port()]).context(kind.name())?;
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
            "listeners": [
                http_listener("http1", http1, "http1"),
                http_listener("http2", http2, "http2"),
            ],
            "clusters": [
                cluster("http1", upstream.http1, Protocol::Http1),
                cluster("http2", upstream.http2, Protocol::Http2),
            ],
        },
    })
}
