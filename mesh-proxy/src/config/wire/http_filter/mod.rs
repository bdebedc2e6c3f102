//! HTTP filters: the connection manager's list, and `typed_per_filter_config`.

mod buffer;
mod cors;
mod fault;
mod header_mutation;
mod health_check;
mod local_rate_limit;

use std::collections::BTreeMap;

use mesh_proto::any;
use mesh_proto::envoy::config::route::v3 as route;
use mesh_proto::envoy::extensions::filters::http::buffer::v3 as buffer_proto;
use mesh_proto::envoy::extensions::filters::http::cors::v3 as cors_proto;
use mesh_proto::envoy::extensions::filters::http::fault::v3 as fault_proto;
use mesh_proto::envoy::extensions::filters::http::header_mutation::v3 as mutation_proto;
use mesh_proto::envoy::extensions::filters::http::health_check::v3 as health_proto;
use mesh_proto::envoy::extensions::filters::http::local_ratelimit::v3 as limit_proto;
use mesh_proto::envoy::extensions::filters::http::router::v3::Router;
use mesh_proto::envoy::extensions::filters::network::http_connection_manager::v3 as proto;
use prost::Name as _;
use prost_types::Any;

use super::common::{decode, not_honoured, refuse_set, required_name, unknown_type};
use crate::config::{Error, FilterKind, FilterOverride, FilterOverrides, HttpFilter, Path};

/// The filters before the router, which must be the last one of the list.
pub(super) fn filters(
    path: &Path,
    filters: Vec<proto::HttpFilter>,
) -> Result<Vec<HttpFilter>, Error> {
    use proto::http_filter::ConfigType;
    let mut found = Vec::with_capacity(filters.len());
    let mut has_router = false;
    for (index, filter) in filters.into_iter().enumerate() {
        let path = path.index(index);
        let proto::HttpFilter { name, is_optional, disabled, config_type } = filter;
        let typed = path.field("typed_config");
        if has_router {
            return Err(typed.error("stands behind the router, which must be the last filter"));
        }
        let any = match config_type {
            Some(ConfigType::TypedConfig(any)) => Some(any),
            Some(ConfigType::ConfigDiscovery(_)) => {
                return Err(not_honoured(&path.field("config_discovery")));
            }
            None => None,
        };
        match &any {
            Some(any) if any::is::<Router>(any) => {
                refuse_set!(&path, HttpFilter, disabled);
                router(&typed, decode(&typed, any)?)?;
                has_router = true;
            }
            any => match any.as_ref().map(|any| kind(&typed, any)).transpose()?.flatten() {
                Some(kind) => {
                    let name = required_name(&path, "name", &name)?;
                    found.push(HttpFilter { name, disabled, kind });
                }
                // Envoy's meaning of it: do without when this proxy does not have it.
                None if is_optional => {}
                None => return Err(unknown_type(&typed, any.as_ref(), &ours())),
            },
        }
    }
    if !has_router {
        let message = format!("missing: the last filter must be {}", Router::full_name());
        return Err(path.error(message));
    }
    Ok(found)
}

/// The filters that we have.
fn ours() -> [String; 7] {
    [
        buffer_proto::Buffer::full_name(),
        cors_proto::Cors::full_name(),
        fault_proto::HttpFault::full_name(),
        mutation_proto::HeaderMutation::full_name(),
        health_proto::HealthCheck::full_name(),
        limit_proto::LocalRateLimit::full_name(),
        Router::full_name(),
    ]
}

/// A filter's settings by their type; `None` for a filter that we do not have.
fn kind(path: &Path, any: &Any) -> Result<Option<FilterKind>, Error> {
    Ok(Some(if any::is::<buffer_proto::Buffer>(any) {
        FilterKind::Buffer(buffer::buffer(path, decode(path, any)?)?)
    } else if any::is::<cors_proto::Cors>(any) {
        let cors_proto::Cors {} = decode(path, any)?;
        FilterKind::Cors
    } else if any::is::<fault_proto::HttpFault>(any) {
        FilterKind::Fault(fault::fault(path, decode(path, any)?)?.into())
    } else if any::is::<mutation_proto::HeaderMutation>(any) {
        let mutation = header_mutation::header_mutation(path, decode(path, any)?)?;
        FilterKind::HeaderMutation(mutation.into())
    } else if any::is::<health_proto::HealthCheck>(any) {
        FilterKind::HealthCheck(health_check::health_check(path, decode(path, any)?)?.into())
    } else if any::is::<limit_proto::LocalRateLimit>(any) {
        let limit = local_rate_limit::local_rate_limit(path, decode(path, any)?)?;
        FilterKind::LocalRateLimit(limit.into())
    } else {
        return Ok(None);
    }))
}

/// A level's `typed_per_filter_config`: what it says of filters, by their names.
pub(super) fn filter_overrides(
    path: &Path,
    configs: BTreeMap<String, Any>,
) -> Result<FilterOverrides, Error> {
    let path = path.field("typed_per_filter_config");
    let mut found = Vec::with_capacity(configs.len());
    for (name, any) in configs {
        let path = path.key(&name);
        if let Some(settings) = filter_override(&path, any)? {
            found.push((name.into(), settings));
        }
    }
    Ok(found)
}

/// `None` for an optional one that we do not have.
fn filter_override(path: &Path, any: Any) -> Result<Option<FilterOverride>, Error> {
    if !any::is::<route::FilterConfig>(&any) {
        return settings(path, &any, false);
    }
    let route::FilterConfig { config, is_optional, disabled } = decode(path, &any)?;
    let path = path.field("config");
    match config {
        _ if disabled => Ok(Some(FilterOverride::Disabled)),
        Some(any) if any.type_url.is_empty() => Ok(Some(FilterOverride::Enabled)),
        Some(any) => settings(&path, &any, is_optional),
        None => Err(path.error("missing: expected the filter's settings, {} or disabled: true")),
    }
}

fn settings(path: &Path, any: &Any, is_optional: bool) -> Result<Option<FilterOverride>, Error> {
    Ok(Some(if any::is::<buffer_proto::BufferPerRoute>(any) {
        buffer::per_route(path, decode(path, any)?)?
    } else if any::is::<cors_proto::CorsPolicy>(any) {
        FilterOverride::Cors(cors::policy(path, decode(path, any)?)?.into())
    } else if any::is::<fault_proto::HttpFault>(any) {
        FilterOverride::Fault(fault::fault(path, decode(path, any)?)?.into())
    } else if any::is::<mutation_proto::HeaderMutationPerRoute>(any) {
        let mutations = header_mutation::per_route(path, decode(path, any)?)?;
        FilterOverride::HeaderMutation(mutations.into())
    } else if any::is::<limit_proto::LocalRateLimit>(any) {
        let limit = local_rate_limit::per_route(path, decode(path, any)?)?;
        FilterOverride::LocalRateLimit(limit.into())
    } else if is_optional {
        return Ok(None);
    } else {
        let ours = [
            route::FilterConfig::full_name(),
            buffer_proto::BufferPerRoute::full_name(),
            cors_proto::CorsPolicy::full_name(),
            fault_proto::HttpFault::full_name(),
            mutation_proto::HeaderMutationPerRoute::full_name(),
            limit_proto::LocalRateLimit::full_name(),
        ];
        return Err(unknown_type(path, Some(any), &ours));
    }))
}

fn router(path: &Path, router: Router) -> Result<(), Error> {
    let Router {
        dynamic_stats,
        start_child_span,
        upstream_log,
        upstream_log_options,
        suppress_envoy_headers,
        strict_check_headers,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats,
        upstream_http_filters,
        reject_connect_request_early_data,
    } = router;
    refuse_set!(
        path,
        Router,
        dynamic_stats,
        start_child_span,
        upstream_log,
        upstream_log_options,
        suppress_envoy_headers,
        strict_check_headers,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats,
        upstream_http_filters,
        reject_connect_request_early_data,
    );
    Ok(())
}
