//! `/config_dump`: Envoy's messages of that name, from the bytes as they came.
//!
//! A dump shows what was configured, but for private keys.

mod inline_routes;
mod select;

use std::time::SystemTime;

use mesh_proto::any;
use mesh_proto::envoy::admin::v3 as proto;
use mesh_proto::envoy::config::bootstrap::v3::Bootstrap;
use mesh_proto::text::{self, Error};
use prost::Message as _;
use prost_types::{Any, Timestamp};
use proto::clusters_config_dump::{DynamicCluster, StaticCluster};
use proto::endpoints_config_dump::DynamicEndpointConfig;
use proto::listeners_config_dump::{DynamicListener, DynamicListenerState, StaticListener};
use proto::routes_config_dump::DynamicRouteConfig;
use proto::secrets_config_dump::{DynamicSecret, StaticSecret};
use serde_json::Value;

use super::Pages;
use super::query::Query;
use super::redact::redact;
use crate::xds::{Entry, Failure, State, Version};
use select::Selection;

pub(super) use select::Unanswerable;

/// How a resource is written.
type Write = fn(&Any) -> Any;

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub(super) enum DumpError {
    #[error(transparent)]
    Asked(#[from] Unanswerable),
    #[error(transparent)]
    Text(#[from] Error),
}

/// What is asked for of all of it; with the endpoints when asked for.
pub(super) fn page(pages: &Pages, query: &Query) -> Result<Value, DumpError> {
    let selection = Selection::new(query)?;
    let include_endpoints = query.has("include_eds");
    let dump = |write: Write| {
        // The lock is held for the copying, not for the writing.
        let state = pages.state();
        let mut configs = vec![any::pack(&bootstrap(&state))];
        configs.push(any::pack(&clusters(&state, write)));
        if include_endpoints {
            configs.push(any::pack(&endpoints(&state, write)));
        }
        configs.push(any::pack(&listeners(&state, write)));
        configs.push(any::pack(&routes(&state, write)));
        configs.push(any::pack(&secrets(&state, write)));
        proto::ConfigDump { configs }
    };
    // A resource that was refused may hold an extension that nobody here knows, which
    // cannot be written; then each is tried by itself.
    let mut page = text::to_json(&dump(Any::clone)).or_else(|_| text::to_json(&dump(writable)))?;
    redact(&mut page);
    selection.apply(&mut page)?;
    Ok(page)
}

/// The resource, or in place of one that cannot be written its type alone.
fn writable(any: &Any) -> Any {
    match text::encoded_to_json(&any.type_url, &any.value) {
        Ok(_) => any.clone(),
        Err(error) => {
            let type_name = any::type_name(&any.type_url);
            let text = format!("a {type_name} that cannot be shown: {error}");
            // prost takes a String for the message google.protobuf.StringValue.
            let type_url = "type.googleapis.com/google.protobuf.StringValue".to_owned();
            Any { type_url, value: text.encode_to_vec() }
        }
    }
}

fn bootstrap(state: &State) -> proto::BootstrapConfigDump {
    let (file, read) = state.bootstrap();
    let file = any::unpack::<Bootstrap>(file).and_then(Result::ok);
    proto::BootstrapConfigDump { bootstrap: file, last_updated: timestamp(read) }
}

fn clusters(state: &State, write: Write) -> proto::ClustersConfigDump {
    let mut dump = proto::ClustersConfigDump {
        version_info: state.versions().0.to_owned(),
        ..Default::default()
    };
    for entry in state.clusters().values() {
        let dynamic = |version: Option<&Version<_>>| {
            let (version_info, cluster, last_updated) = parts(version, write);
            let error_state = failure(entry, write);
            DynamicCluster { version_info, cluster, last_updated, error_state, client_status: 0 }
        };
        let warming = entry.warming.as_ref().map(|warming| &warming.version);
        match (entry.is_static, &entry.active) {
            (true, active) => {
                let (_, cluster, last_updated) = parts(active.as_ref().or(warming), write);
                dump.static_clusters.push(StaticCluster { cluster, last_updated });
            }
            (false, None) if warming.is_some() => {
                dump.dynamic_warming_clusters.push(dynamic(warming));
            }
            (false, active) => {
                dump.dynamic_active_clusters.push(dynamic(active.as_ref()));
                if warming.is_some() {
                    dump.dynamic_warming_clusters.push(dynamic(warming));
                }
            }
        }
    }
    dump
}

fn listeners(state: &State, write: Write) -> proto::ListenersConfigDump {
    let mut dump = proto::ListenersConfigDump {
        version_info: state.versions().1.to_owned(),
        ..Default::default()
    };
    for (name, entry) in state.listeners() {
        let warming = entry.warming.as_ref().map(|warming| &warming.version);
        if entry.is_static {
            let (_, listener, last_updated) = parts(entry.active.as_ref().or(warming), write);
            dump.static_listeners.push(StaticListener { listener, last_updated });
            continue;
        }
        let of = |version: Option<&Version<_>>| {
            let (version_info, listener, last_updated) = parts(Some(version?), write);
            Some(DynamicListenerState { version_info, listener, last_updated })
        };
        dump.dynamic_listeners.push(DynamicListener {
            name: name.to_string(),
            active_state: of(entry.active.as_ref()),
            warming_state: of(warming),
            draining_state: None,
            error_state: failure(entry, write),
            client_status: 0,
        });
    }
    dump
}

fn routes(state: &State, write: Write) -> proto::RoutesConfigDump {
    let dynamic = |entry: &Entry<_>| {
        let (version_info, route_config, last_updated) = parts(entry.active.as_ref(), write);
        let error_state = failure(entry, write);
        DynamicRouteConfig {
            version_info,
            route_config,
            last_updated,
            error_state,
            client_status: 0,
        }
    };
    let active = state.listeners().values().filter_map(|entry| entry.active.as_ref());
    proto::RoutesConfigDump {
        static_route_configs: active
            .flat_map(|version| inline_routes::of(&version.wire, timestamp(version.updated), write))
            .collect(),
        dynamic_route_configs: state.routes().values().map(dynamic).collect(),
    }
}

fn secrets(state: &State, write: Write) -> proto::SecretsConfigDump {
    let mut dump = proto::SecretsConfigDump::default();
    for (source, names) in state.secret_names() {
        let known = state.secrets().get(&source);
        let missing = names.into_keys().filter(|name| known.is_none_or(|k| !k.contains_key(name)));
        dump.dynamic_warming_secrets.extend(
            missing.map(|name| DynamicSecret { name: name.to_string(), ..Default::default() }),
        );
    }
    for (name, entry) in state.secrets().values().flatten() {
        let (version_info, secret, last_updated) = parts(entry.active.as_ref(), write);
        let name = name.to_string();
        match entry.is_static {
            true => dump.static_secrets.push(StaticSecret { name, last_updated, secret }),
            false => dump.dynamic_active_secrets.push(DynamicSecret {
                name,
                version_info,
                last_updated,
                secret,
                error_state: failure(entry, write),
                client_status: 0,
            }),
        }
    }
    dump
}

fn endpoints(state: &State, write: Write) -> proto::EndpointsConfigDump {
    let dynamic = |entry: &Entry<_>| {
        let (version_info, endpoint_config, last_updated) = parts(entry.active.as_ref(), write);
        DynamicEndpointConfig {
            version_info,
            endpoint_config,
            last_updated,
            error_state: failure(entry, write),
            client_status: 0,
        }
    };
    proto::EndpointsConfigDump {
        static_endpoint_configs: Vec::new(),
        dynamic_endpoint_configs: state.endpoints().values().map(dynamic).collect(),
    }
}

/// Version, resource and time; of nothing when there is none.
fn parts<T>(
    version: Option<&Version<T>>,
    write: Write,
) -> (String, Option<Any>, Option<Timestamp>) {
    match version {
        Some(version) => {
            (version.version.to_string(), Some(write(&version.wire)), timestamp(version.updated))
        }
        None => Default::default(),
    }
}

fn failure<T>(entry: &Entry<T>, write: Write) -> Option<proto::UpdateFailureState> {
    let Failure { details, version, wire, at } = entry.failure.as_ref()?;
    Some(proto::UpdateFailureState {
        failed_configuration: Some(write(wire)),
        last_update_attempt: timestamp(*at),
        details: details.clone(),
        version_info: version.to_string(),
    })
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Some(time.into())
}
