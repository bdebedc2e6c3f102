//! How clients encrypt what they send to a service.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mesh_model::{ClientTls, Endpoint, MtlsMode, Service, ServicePort, Snapshot};
use mesh_proto::envoy::config::cluster::v3::Cluster;
use mesh_proto::envoy::config::cluster::v3::cluster::TransportSocketMatch;
use mesh_proto::envoy::config::core::v3 as core;
use mesh_tls::SpiffeId;
use prost_types::value::Kind;

use super::{Role, cluster, tls};

/// The key of an endpoint's metadata that a cluster's matches look at.
const MATCH_KEY: &str = "envoy.transport_socket_match";
const TLS_MODE: &str = "tlsMode";
const ISTIO: &str = "istio";

/// A cluster and what it leads to.
#[derive(Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) service: &'a Service,
    pub(super) port: &'a ServicePort,
    /// Empty: the whole service.
    pub(super) subset: &'a str,
    /// Of the proxy that connects.
    pub(super) role: Role,
    /// What the user says.
    pub(super) tls: Option<&'a ClientTls>,
}

/// The cluster with its transport. Where the user says nothing, mutual TLS is for the
/// endpoints whose sidecars take it (Istio's auto mTLS).
pub(super) fn encrypted(cluster: Cluster, snapshot: &Snapshot, target: &Target<'_>) -> Cluster {
    let transport_socket = match target.tls {
        Some(ClientTls::Disable) => None,
        Some(ClientTls::Mesh { sni, subject_alt_names }) => {
            Some(mesh(snapshot, target, sni.as_deref(), subject_alt_names))
        }
        Some(ClientTls::Own(own)) => {
            let alpn: &[&str] = if target.port.protocol.is_http2() { &["h2"] } else { &[] };
            let names = names(target.service);
            Some(tls::own_client(own, &target.service.hostname, &names, alpn))
        }
        None if !snapshot.auto_mtls() => None,
        None if cluster::client_chooses(target.service, target.subset, target.role) => {
            // Its endpoints are not known one by one: all take it, or it is not used.
            let mut endpoints = target.service.endpoints_of(target.port.number);
            let all = endpoints.all(|endpoint| takes_mtls(snapshot, endpoint));
            all.then(|| mesh(snapshot, target, None, &[]))
        }
        None => {
            let mesh = mesh(snapshot, target, None, &[]);
            return Cluster { transport_socket_matches: matches(mesh), ..cluster };
        }
    };
    Cluster { transport_socket, ..cluster }
}

/// What an endpoint says to a cluster's matches.
pub(super) fn metadata(snapshot: &Snapshot, endpoint: &Endpoint) -> Option<core::Metadata> {
    let taken = snapshot.auto_mtls() && takes_mtls(snapshot, endpoint);
    taken.then(|| core::Metadata {
        filter_metadata: [(MATCH_KEY.to_owned(), tls_mode())].into(),
        ..Default::default()
    })
}

/// Whether it has a sidecar that takes mutual TLS on this port.
fn takes_mtls(snapshot: &Snapshot, endpoint: &Endpoint) -> bool {
    endpoint.workload.as_ref().is_some_and(|workload| {
        let inbound = || snapshot.inbound_mtls(&workload.namespace, &workload.labels);
        workload.takes_mtls() && inbound().on(endpoint.port) != MtlsMode::Disable
    })
}

fn matches(mesh: core::TransportSocket) -> Vec<TransportSocketMatch> {
    vec![
        TransportSocketMatch {
            name: format!("tlsMode-{ISTIO}"),
            r#match: Some(tls_mode()),
            transport_socket: Some(mesh),
        },
        TransportSocketMatch {
            name: "tlsMode-disabled".to_owned(),
            r#match: Some(prost_types::Struct::default()),
            transport_socket: Some(tls::raw_buffer()),
        },
    ]
}

fn tls_mode() -> prost_types::Struct {
    let istio = prost_types::Value { kind: Some(Kind::StringValue(ISTIO.to_owned())) };
    prost_types::Struct { fields: [(TLS_MODE.to_owned(), istio)].into() }
}

fn mesh(
    snapshot: &Snapshot,
    target: &Target<'_>,
    sni: Option<&str>,
    subject_alt_names: &[String],
) -> core::TransportSocket {
    let Target { service, port, subset, .. } = target;
    let own = || format!("outbound_.{}_.{subset}_.{}", port.number, service.hostname);
    let sni = sni.map_or_else(own, str::to_owned);
    // Istio's protocols: they tell the server that this is the mesh's TLS.
    let alpn: &[&str] = match port.protocol {
        protocol if protocol.is_http2() => &[ISTIO, "h2"],
        protocol if protocol.is_http() => &[ISTIO],
        _ => &["istio-peer-exchange", ISTIO],
    };
    if subject_alt_names.is_empty() {
        let identities = identities(snapshot, service, port);
        return tls::mesh_client(&sni, identities.iter().map(String::as_str), alpn);
    }
    tls::mesh_client(&sni, subject_alt_names.iter().map(String::as_str), alpn)
}

/// Of the accounts that the port's pods run as, ready or not, of whichever subset: as
/// Istio, so that a pod that becomes ready needs no new cluster.
fn identities(snapshot: &Snapshot, service: &Service, port: &ServicePort) -> BTreeSet<String> {
    let workloads = service.endpoints_of(port.number).filter_map(|e| e.workload.as_ref());
    let accounts: BTreeSet<(&str, &str)> = workloads
        .map(|workload| (workload.namespace.as_str(), workload.service_account.as_str()))
        .collect();
    let identity = |(namespace, account): (&str, &str)| {
        // An account that cannot be in an identity has none.
        SpiffeId::new(snapshot.trust_domain(), namespace, account).ok()
    };
    accounts.into_iter().filter_map(identity).map(|id| id.to_string()).collect()
}

/// What a service's own certificate may be for.
fn names(service: &Service) -> Vec<String> {
    let mut names = vec![service.hostname.clone()];
    names.extend(mesh_model::short_names(&service.name, &service.name.namespace));
    names.extend(service.addresses.iter().map(IpAddr::to_string));
    names
}
