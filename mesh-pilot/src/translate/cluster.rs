//! Where a proxy connects to: a cluster per service port and subset, one per inbound port,
//! and three that are always there.

use std::collections::BTreeMap;
use std::time::Duration;

use mesh_model::{LoadBalancing, Protocol, Service, Settings, Snapshot};
use mesh_proto::any;
use mesh_proto::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig, LbPolicy,
};
use mesh_proto::envoy::config::cluster::v3::{CircuitBreakers, Cluster, circuit_breakers};
use mesh_proto::envoy::config::core::v3::{Http1ProtocolOptions, Http2ProtocolOptions};
use mesh_proto::envoy::config::endpoint::v3::ClusterLoadAssignment;
use mesh_proto::envoy::extensions::upstreams::http::v3 as upstream;

use super::client_tls::Target;
use super::inbound::InboundPort;
use super::{Families, Role, client_tls, wire};

/// Takes what is for nobody in the mesh, to where it was going.
pub(super) const PASSTHROUGH: &str = "PassthroughCluster";
/// The same for what comes in on a port of no service.
pub(super) const INBOUND_PASSTHROUGH: &str = "InboundPassthroughCluster";
/// Takes nothing: has no endpoints.
pub(super) const BLACK_HOLE: &str = "BlackHoleCluster";

/// Istio's default.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// `outbound|9080|v1|reviews.default.svc.cluster.local`; no subset: empty.
pub(super) fn outbound_name(port: u16, subset: &str, hostname: &str) -> String {
    format!("outbound|{port}|{subset}|{hostname}")
}

/// The host in an [`outbound_name`].
pub(super) fn host_of(name: &str) -> Option<&str> {
    name.rsplit('|').next()
}

/// `inbound|9080||`.
pub(super) fn inbound_name(port: u16) -> String {
    format!("inbound|{port}||")
}

/// Of each port of the service: all its endpoints, then each subset; as a proxy of this role
/// reaches them.
pub(super) fn of_service(snapshot: &Snapshot, service: &Service, role: Role) -> Vec<Cluster> {
    let mut clusters = Vec::new();
    let policy = snapshot.policy(&service.hostname);
    for port in &service.ports {
        let subsets = policy.iter().flat_map(|policy| &policy.subsets).map(Some);
        for subset in std::iter::once(None).chain(subsets) {
            let settings = policy.map(|policy| policy.settings(subset, port.number));
            let settings = settings.unwrap_or_default();
            let subset = subset.map_or("", |subset| &subset.name);
            let target = Target { service, port, subset, role, tls: settings.tls.as_ref() };
            clusters.push(service_cluster(snapshot, &target, &settings));
        }
    }
    clusters
}

/// Whether the client itself chooses the endpoint: a headless service is called by its
/// pods' addresses, which we keep to, as Istio does. Nobody calls a gateway by these.
pub(super) fn client_chooses(service: &Service, subset: &str, role: Role) -> bool {
    role == Role::Sidecar && service.headless && subset.is_empty()
}

fn service_cluster(snapshot: &Snapshot, target: &Target<'_>, settings: &Settings) -> Cluster {
    let Target { service, port, subset, role, .. } = *target;
    let name = outbound_name(port.number, subset, &service.hostname);
    let mut cluster = if client_chooses(service, subset, role) {
        original_dst(&name)
    } else {
        Cluster {
            eds_cluster_config: Some(EdsClusterConfig {
                eds_config: Some(wire::ads()),
                service_name: name.clone(),
            }),
            lb_policy: lb_policy(settings.load_balancing.unwrap_or_default()).into(),
            ..named(&name, DiscoveryType::Eds)
        }
    };
    cluster.connect_timeout =
        Some(wire::duration(settings.connect_timeout.unwrap_or(CONNECT_TIMEOUT)));
    if port.protocol.is_http2() {
        cluster.typed_extension_protocol_options = http_protocol(http2());
    }
    client_tls::encrypted(cluster, snapshot, target)
}

fn lb_policy(balancing: LoadBalancing) -> LbPolicy {
    match balancing {
        LoadBalancing::LeastRequest => LbPolicy::LeastRequest,
        LoadBalancing::RoundRobin => LbPolicy::RoundRobin,
        LoadBalancing::Random => LbPolicy::Random,
    }
}

/// The application behind one port of the pod. A port that says `http` is spoken to as
/// the client spoke, so that an application that takes both versions gets both.
pub(super) fn inbound(port: InboundPort, families: Families) -> Cluster {
    let mut cluster = from_inbound_source(original_dst(&inbound_name(port.number)), families);
    match port.protocol {
        Protocol::Http => cluster.typed_extension_protocol_options = http_protocol(as_downstream()),
        Protocol::Http2 | Protocol::Grpc => {
            cluster.typed_extension_protocol_options = http_protocol(http2());
        }
        Protocol::Tcp => {}
    }
    cluster
}

/// Those that are always there.
pub(super) fn fixed(families: Families) -> [Cluster; 3] {
    let passthrough = Cluster {
        typed_extension_protocol_options: http_protocol(as_downstream()),
        ..original_dst(PASSTHROUGH)
    };
    let black_hole = Cluster {
        load_assignment: Some(ClusterLoadAssignment {
            cluster_name: BLACK_HOLE.to_owned(),
            ..Default::default()
        }),
        ..named(BLACK_HOLE, DiscoveryType::Static)
    };
    let inbound = from_inbound_source(original_dst(INBOUND_PASSTHROUGH), families);
    [passthrough, inbound, black_hole]
}

/// Envoy's own limits (1,024 connections, pending requests, requests; 3 retries) would
/// refuse a busy service's requests; limits are the user's to set.
fn unlimited() -> CircuitBreakers {
    let thresholds = circuit_breakers::Thresholds {
        max_connections: Some(u32::MAX),
        max_pending_requests: Some(u32::MAX),
        max_requests: Some(u32::MAX),
        max_retries: Some(u32::MAX),
        ..Default::default()
    };
    CircuitBreakers { thresholds: vec![thresholds], per_host_thresholds: Vec::new() }
}

fn named(name: &str, discovery: DiscoveryType) -> Cluster {
    Cluster {
        name: name.to_owned(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery.into())),
        connect_timeout: Some(wire::duration(CONNECT_TIMEOUT)),
        circuit_breakers: Some(unlimited()),
        ..Default::default()
    }
}

fn original_dst(name: &str) -> Cluster {
    Cluster {
        lb_policy: LbPolicy::ClusterProvided.into(),
        ..named(name, DiscoveryType::OriginalDst)
    }
}

fn from_inbound_source(cluster: Cluster, families: Families) -> Cluster {
    Cluster { upstream_bind_config: Some(families.inbound_source()), ..cluster }
}

type UpstreamProtocol = upstream::http_protocol_options::UpstreamProtocolOptions;

fn http2() -> UpstreamProtocol {
    use upstream::http_protocol_options::{ExplicitHttpConfig, explicit_http_config};
    let protocol_config = Some(explicit_http_config::ProtocolConfig::Http2ProtocolOptions(
        Http2ProtocolOptions::default(),
    ));
    UpstreamProtocol::ExplicitHttpConfig(ExplicitHttpConfig { protocol_config })
}

fn as_downstream() -> UpstreamProtocol {
    use upstream::http_protocol_options::UseDownstreamHttpConfig;
    UpstreamProtocol::UseDownstreamProtocolConfig(UseDownstreamHttpConfig {
        http_protocol_options: Some(Http1ProtocolOptions::default()),
        http2_protocol_options: Some(Http2ProtocolOptions::default()),
        ..Default::default()
    })
}

fn http_protocol(protocol: UpstreamProtocol) -> BTreeMap<String, prost_types::Any> {
    let options = upstream::HttpProtocolOptions {
        upstream_protocol_options: Some(protocol),
        ..Default::default()
    };
    let key = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions".to_owned();
    BTreeMap::from([(key, any::pack(&options))])
}
