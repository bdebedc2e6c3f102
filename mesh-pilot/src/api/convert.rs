//! From our own types to those of the API.

use std::collections::BTreeMap;
use std::time::UNIX_EPOCH;

use mesh_model as model;
use mesh_proto::mesh::v1::{self as wire, type_status};
use mesh_rules::{Problem, RuleKey};
use mesh_xds::ResourceType;
use mesh_xds::server;

use crate::fleet::{Connected, Rejection, Rollout};

/// The rule that the field `name` of a request names.
pub(super) fn key(name: &str, key: Option<wire::RuleKey>) -> Result<RuleKey, tonic::Status> {
    let wire::RuleKey { kind, namespace, name: rule } = key.unwrap_or_default();
    for (field, value) in [("kind", &kind), ("namespace", &namespace), ("name", &rule)] {
        if value.is_empty() {
            return Err(tonic::Status::invalid_argument(format!("{name}.{field} is empty")));
        }
    }
    Ok(RuleKey { kind, namespace, name: rule })
}

pub(super) fn proxy(connected: Connected) -> wire::Proxy {
    let since = connected.since.duration_since(UNIX_EPOCH).unwrap_or_default();
    wire::Proxy {
        id: connected.proxy.id,
        namespace: connected.proxy.namespace,
        pod: connected.proxy.pod,
        address: connected.proxy.address.to_string(),
        version: connected.version,
        connected_since_unix_ms: i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        types: connected.types.into_iter().map(|(t, status)| type_status(t, status)).collect(),
    }
}

fn type_status(resource_type: ResourceType, status: server::Status) -> wire::TypeStatus {
    let (state, error) = match status.state {
        server::State::NotSent => (type_status::State::NotSent, String::new()),
        server::State::Unanswered { .. } => (type_status::State::Stale, String::new()),
        server::State::Acked => (type_status::State::Synced, String::new()),
        server::State::Rejected { error } => (type_status::State::Rejected, error),
    };
    wire::TypeStatus {
        type_url: resource_type.type_url().to_owned(),
        state: state.into(),
        sent_version: status.sent_version,
        acked_version: status.acked_version,
        error,
        resources: u32::try_from(status.resources).unwrap_or(u32::MAX),
    }
}

pub(super) fn service(service: &model::Service) -> wire::Service {
    let ports = service.ports.iter().map(|port| wire::ServicePort {
        name: port.name.clone(),
        port: port.number.into(),
        protocol: port.protocol.to_string(),
    });
    wire::Service {
        name: service.name.name.clone(),
        namespace: service.name.namespace.clone(),
        hostname: service.hostname.clone(),
        address: service.addresses.first().map(ToString::to_string).unwrap_or_default(),
        ports: ports.collect(),
        versions: service.versions(),
        endpoints: endpoints(service),
        aliases: service.aliases.iter().map(|alias| alias.hostname.clone()).collect(),
    }
}

/// Each address once, though it serves each port of the service.
fn endpoints(service: &model::Service) -> Vec<wire::Endpoint> {
    let by_address: BTreeMap<_, _> = service.endpoints.iter().map(|e| (e.address, e)).collect();
    let endpoint = |endpoint: &model::Endpoint| wire::Endpoint {
        address: endpoint.address.to_string(),
        pod: endpoint.workload.as_ref().map_or_else(String::new, |pod| pod.name.clone()),
        version: endpoint.version().unwrap_or_default().to_owned(),
        ready: endpoint.ready,
    };
    by_address.into_values().map(endpoint).collect()
}

pub(super) fn problem(Problem { source, path, message }: Problem) -> wire::Problem {
    wire::Problem { source, path, message }
}

/// `refusals`: of the rules that it is a rollout of.
pub(super) fn rollout(rollout: Rollout, refusals: &[Problem]) -> wire::Rollout {
    wire::Rollout {
        concerned: rollout.concerned,
        acked: rollout.acked,
        rejections: rollout.rejections.into_iter().map(rejection).collect(),
        done: rollout.done,
        elapsed_ms: rollout.elapsed.as_secs_f64() * 1e3,
        refusals: refusals.iter().cloned().map(problem).collect(),
    }
}

fn rejection(Rejection { proxy, resource_type, error }: Rejection) -> wire::Rejection {
    wire::Rejection { proxy, type_url: resource_type.type_url().to_owned(), error }
}
