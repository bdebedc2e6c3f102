//! The filter chains of a port of the pod, and of the ports that no service has.

use mesh_model::MtlsMode;
use mesh_proto::envoy::config::listener::v3::{Filter, FilterChain, FilterChainMatch};

use super::outbound::chain;
use super::tls;

/// By these the TLS of the mesh is told from the application's own (Istio's).
const MESH_ALPN: [&str; 5] =
    ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// What an HTTP server of the mesh speaks.
const HTTP_ALPN: [&str; 2] = ["h2", "http/1.1"];

/// What a chain is for.
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    /// `None`: every port that no other chain is for.
    pub(super) port: Option<u16>,
    pub(super) mode: MtlsMode,
    pub(super) trust_domain: &'a str,
    /// For what is plain, and for what was inside the mesh's TLS.
    pub(super) filter: Filter,
    pub(super) is_http: bool,
    /// For the application's own TLS, which passes as it is.
    pub(super) bytes: Filter,
}

/// The chains that take the connections of `entry`, and no others: what none takes is closed.
/// There must be no default chain, or STRICT would have a way around it.
pub(super) fn chains(entry: Entry<'_>) -> Vec<FilterChain> {
    match entry.mode {
        MtlsMode::Disable => vec![entry.chain(None, &[], entry.filter.clone())],
        MtlsMode::Strict => vec![entry.mesh(&[])],
        MtlsMode::Permissive => vec![
            entry.mesh(&MESH_ALPN),
            entry.chain(Some("tls"), &[], entry.bytes.clone()),
            entry.chain(Some("raw_buffer"), &[], entry.filter.clone()),
        ],
    }
}

/// Whether the chains ask what TLS says.
pub(super) fn needs_inspector(chains: &[FilterChain]) -> bool {
    let mut matches = chains.iter().filter_map(|chain| chain.filter_chain_match.as_ref());
    matches.any(|matcher| !matcher.transport_protocol.is_empty())
}

impl Entry<'_> {
    fn mesh(&self, matched: &[&str]) -> FilterChain {
        let alpn: &[&str] = if self.is_http { &HTTP_ALPN } else { &[] };
        FilterChain {
            transport_socket: Some(tls::mesh_server(self.trust_domain, alpn)),
            ..self.chain(Some("tls"), matched, self.filter.clone())
        }
    }

    fn chain(&self, transport: Option<&str>, alpn: &[&str], filter: Filter) -> FilterChain {
        let matcher = FilterChainMatch {
            destination_port: self.port.map(u32::from),
            transport_protocol: transport.unwrap_or_default().to_owned(),
            application_protocols: alpn.iter().map(|name| (*name).to_owned()).collect(),
            ..Default::default()
        };
        FilterChain { filter_chain_match: Some(matcher), ..chain(self.name, filter) }
    }
}
