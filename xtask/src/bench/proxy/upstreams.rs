//! What the proxies forward to.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

use super::setup::Door;
use crate::bench::CORES;
use crate::bench::upstream::nginx;
use crate::bootstrap::Protocol;
use crate::process::{Place, Running, free_addresses};

/// Whose certificate the proxies show.
pub(super) const SERVER: &str = "server";

/// Upstreams on this machine's loopback: nginx, and one that writes the answers of many
/// HTTP/2 streams at once, as gRPC servers do.
pub(super) struct Upstreams {
    http1: SocketAddr,
    http2: SocketAddr,
    batched: SocketAddr,
    _running: [Running; 2],
}

impl Upstreams {
    pub(super) fn start(load: &Path, folder: &Path) -> Result<Self> {
        let [http1, http2, batched] = free_addresses()?;
        let place = Place::core(CORES[0]);
        let nginx = nginx(place, &[http1], &[http2], folder)?;
        let args = ["upstream", "--http", &batched.to_string()];
        let mut load = Running::start("upstream", place, load, &args, folder)?;
        load.listening(&[batched.port()])?;
        Ok(Self { http1, http2, batched, _running: [nginx, load] })
    }

    /// Where what comes to this door goes, and what is spoken with it.
    pub(super) fn behind(&self, door: Door) -> (SocketAddr, Protocol) {
        match door {
            Door::Http1 | Door::Http2To1 | Door::Tls => (self.http1, Protocol::Http1),
            Door::Http2 => (self.http2, Protocol::Http2),
            Door::Http2Batched | Door::Http1To2 => (self.batched, Protocol::Http2),
            Door::Tcp => (self.http1, Protocol::Tcp),
        }
    }

    /// Whether HTTP/2 is spoken with what is behind this door.
    pub(super) fn speaks_http2(&self, door: Door) -> bool {
        self.behind(door).1 == Protocol::Http2
    }
}
