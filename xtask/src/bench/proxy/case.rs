//! What is measured.

use super::setup::{Door, Setup};
use crate::bench::client::Workload;

/// One measurement, the same for every proxy that can do it.
#[derive(PartialEq)]
pub(super) struct Case {
    /// For `--only`.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    pub(super) setup: Setup,
    pub(super) what: What,
    /// The proxies that cannot do it, or are not asked to.
    without: &'static [&'static str],
}

/// What is done to a proxy.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum What {
    /// As many requests as go through.
    Load { client: Workload, door: Door, path: &'static str },
    /// How much memory it has, with so many HTTP/2 connections that have each been answered
    /// once and wait.
    Memory { connections: usize },
}

impl Case {
    /// Whether this proxy takes part.
    pub(super) fn takes(&self, proxy: &str) -> bool {
        !self.without.contains(&proxy)
    }
}

/// nginx speaks no HTTP/2 with upstreams.
const NO_HTTP2_UPSTREAM: &[&str] = &["nginx"];
/// The two that have routes and clusters in Envoy's sense.
const ONLY_XDS: &[&str] = &["nginx", "haproxy"];

const fn load(
    name: &'static str,
    title: &'static str,
    client: Workload,
    door: Door,
    without: &'static [&'static str],
) -> Case {
    let path = if matches!(door, Door::Http2Batched | Door::Http1To2) { BATCHED } else { "/" };
    let what = What::Load { client, door, path };
    Case { name, title, setup: Setup::Traffic, what, without }
}

/// What the upstream that writes in batches answers with as few bytes as nginx.
const BATCHED: &str = "/bytes/13";

pub(super) static CASES: [Case; 12] = [
    load("http1", "HTTP/1.1, 64 connections", Workload::Http1, Door::Http1, &[]),
    Case {
        what: What::Load { client: Workload::Http1, door: Door::Http1, path: "/large" },
        ..load("http1-100k", "HTTP/1.1, bodies of 100 KB", Workload::Http1, Door::Http1, &[])
    },
    load(
        "http2",
        "HTTP/2, 8x16 streams, nginx behind it",
        Workload::Http2,
        Door::Http2,
        NO_HTTP2_UPSTREAM,
    ),
    load(
        "http2-batched",
        "HTTP/2, 8x16 streams, behind it who writes in batches",
        Workload::Http2,
        Door::Http2Batched,
        NO_HTTP2_UPSTREAM,
    ),
    load(
        "http1-to-http2",
        "HTTP/1.1 to HTTP/2, behind it who writes in batches",
        Workload::Http1,
        Door::Http1To2,
        NO_HTTP2_UPSTREAM,
    ),
    load("http2-to-http1", "HTTP/2 to HTTP/1.1", Workload::Http2, Door::Http2To1, &[]),
    load("tcp", "TCP, 64 connections", Workload::Http1, Door::Tcp, &[]),
    load("tls", "HTTP/1.1 by TLS, 64 connections", Workload::Http1, Door::Tls, &[]),
    Case {
        name: "routes",
        title: "HTTP/1.1, the last of 10,000 routes",
        setup: Setup::Routes,
        what: What::Load { client: Workload::Http1, door: Door::Http1, path: super::setup::LAST },
        without: ONLY_XDS,
    },
    Case {
        name: "idle",
        title: "memory, just started",
        setup: Setup::Plain,
        what: What::Memory { connections: 0 },
        without: &[],
    },
    Case {
        name: "idle-http2",
        title: "memory, 1,000 idle HTTP/2 connections",
        setup: Setup::Plain,
        what: What::Memory { connections: 1000 },
        without: NO_HTTP2_UPSTREAM,
    },
    Case {
        name: "clusters",
        title: "memory, 1,000 clusters of 10 endpoints",
        setup: Setup::Clusters,
        what: What::Memory { connections: 0 },
        without: ONLY_XDS,
    },
];
