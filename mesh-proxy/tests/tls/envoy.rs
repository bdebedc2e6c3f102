//! A stock Envoy on either side of mutual TLS.

use std::net::SocketAddr;

use mesh_testkit::{Process, Upstream, envoy, eventually, free_port};

use crate::common::{Proxy, static_cluster};
use crate::files::{Pki, chain, http, listener, speaks_http2};
use crate::peer::curl;

fn local() -> SocketAddr {
    ([127, 0, 0, 1], free_port()).into()
}

/// Envoy with these listeners and clusters. `None` when there is none.
fn start(pki: &Pki, listeners: &str, clusters: &str) -> Option<Process> {
    let file = pki.path("envoy.yaml");
    let text = format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}");
    std::fs::write(&file, text).unwrap();
    envoy::start(&file, &[])
}

/// The two ends of a connection by mutual TLS, as listeners and clusters.
struct Ends {
    pki: Pki,
    entrance: SocketAddr,
    client: (String, String),
    server: (String, String),
    _upstream: Upstream,
}

impl Ends {
    fn new(http2: bool) -> Self {
        let pki = Pki::new();
        let upstream = Upstream::start("a");
        let (entrance, between) = (local(), local());
        let (client, server) = (pki.files("client"), pki.files("server"));
        let alpn = if http2 { ["h2"] } else { ["http/1.1"] };
        let outer = pki.upstream(&client, &alpn, &["server"]);
        let mut cluster = static_cluster("tls", &[between]) + &format!("    {outer}\n");
        if http2 {
            cluster.push_str(speaks_http2());
        }
        let inner = pki.mutual(&server, &["h2", "http/1.1"], &["client"]);
        let client = listener("in", entrance, "", &[chain("", "", &http("tls", ""))]);
        let server = listener("out", between, "", &[chain("", &inner, &http("a", ""))]);
        Self {
            client: (client, cluster),
            server: (server, static_cluster("a", &[upstream.address()])),
            pki,
            entrance,
            _upstream: upstream,
        }
    }

    fn answers(&self) {
        let url = format!("http://127.0.0.1:{}/", self.entrance.port());
        eventually("an answer through both", || {
            let (good, said) = curl(&["-D", "-", &url])?;
            (good && said.contains("x-upstream: a")).then_some(())
        });
    }
}

#[test]
fn envoy_calls_the_proxy() {
    for http2 in [false, true] {
        let ends = Ends::new(http2);
        let Some(_envoy) = start(&ends.pki, &ends.client.0, &ends.client.1) else { return };
        let (listeners, clusters) = ends.server.clone();
        let _proxy = Proxy::start(&[listeners], &[clusters]);
        ends.answers();
    }
}

#[test]
fn the_proxy_calls_envoy() {
    for http2 in [false, true] {
        let ends = Ends::new(http2);
        let Some(_envoy) = start(&ends.pki, &ends.server.0, &ends.server.1) else { return };
        let (listeners, clusters) = ends.client.clone();
        let _proxy = Proxy::start(&[listeners], &[clusters]);
        ends.answers();
    }
}
