//! The rules that exist for one service, in their types.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{ExistingRule, KnownService, MANAGED_BY, MESHCTL, RouteError};
use crate::istio::{self, DestinationRuleSpec, HttpRoute, Metadata, Resource, VirtualServiceSpec};
use crate::{RuleKey, documents};

/// A rule with what it says.
pub(super) struct Found<S> {
    pub(super) key: RuleKey,
    pub(super) resource: Resource<S>,
}

impl<S: Serialize> Found<S> {
    pub(super) fn is_ours(&self) -> bool {
        self.resource.metadata.labels.get(MANAGED_BY).is_some_and(|by| by == MESHCTL)
    }

    /// As a document to apply.
    pub(super) fn written(&self) -> Result<ExistingRule, RouteError> {
        let yaml = mesh_yaml::write(&self.resource).map_err(|error| RouteError::InTheWay {
            key: self.key.clone(),
            reason: error.to_string(),
        })?;
        Ok(ExistingRule { key: self.key.clone(), yaml })
    }
}

/// As much of a rule as says whom it is for; the rest may be more than we can read.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Outline {
    host: String,
    hosts: Vec<String>,
    gateways: Vec<String>,
}

/// The `VirtualService` that routes, in sidecars, the service's requests.
pub(super) fn virtual_service(
    service: &KnownService,
    rules: &[ExistingRule],
) -> Result<Option<Found<VirtualServiceSpec>>, RouteError> {
    find(rules, "VirtualService", |key, Outline { hosts, gateways, .. }| {
        let in_sidecars = gateways.is_empty() || gateways.iter().any(|g| g == "mesh");
        in_sidecars && hosts.iter().any(|host| names(host, &key.namespace, service))
    })
}

/// The `DestinationRule` of the service.
pub(super) fn destination_rule(
    service: &KnownService,
    rules: &[ExistingRule],
) -> Result<Option<Found<DestinationRuleSpec>>, RouteError> {
    find(rules, "DestinationRule", |key, Outline { host, .. }| names(host, &key.namespace, service))
}

/// One that is somebody else's is not read: whatever is in it, it is not in the way.
fn find<S: DeserializeOwned>(
    rules: &[ExistingRule],
    kind: &str,
    wanted: impl Fn(&RuleKey, &Outline) -> bool,
) -> Result<Option<Found<S>>, RouteError> {
    let mut rules = rules.iter().filter(|rule| rule.key.kind == kind);
    let found = rules.find(|rule| wanted(&rule.key, &outline(rule)));
    found.map(|rule| Ok(Found { key: rule.key.clone(), resource: read(rule)? })).transpose()
}

/// Of nobody's, when not even that can be read.
fn outline(rule: &ExistingRule) -> Outline {
    let spec = value(rule).get_mut("spec").map(Value::take);
    spec.and_then(|spec| serde_json::from_value(spec).ok()).unwrap_or_default()
}

fn value(rule: &ExistingRule) -> Value {
    let document = documents("", &rule.yaml).unwrap_or_default().into_iter().next();
    document.map(|document| document.value).unwrap_or_default()
}

/// Whether the rule names a subset of the service, be it where we do not know what it means.
pub(super) fn names_subset(rule: &ExistingRule, service: &KnownService) -> bool {
    in_value(&value(rule), &rule.key.namespace, service)
}

fn in_value(value: &Value, namespace: &str, service: &KnownService) -> bool {
    match value {
        Value::Object(fields) => {
            let text = |field: &str| fields.get(field).and_then(Value::as_str);
            let is_one = text("subset").is_some()
                && text("host").is_some_and(|host| names(host, namespace, service));
            is_one || fields.values().any(|value| in_value(value, namespace, service))
        }
        Value::Array(values) => values.iter().any(|value| in_value(value, namespace, service)),
        _ => false,
    }
}

fn read<S: DeserializeOwned>(rule: &ExistingRule) -> Result<Resource<S>, RouteError> {
    let in_the_way = |reason: String| RouteError::InTheWay { key: rule.key.clone(), reason };
    let documents = documents("", &rule.yaml).map_err(|problem| in_the_way(problem.to_string()))?;
    let document = documents.first().ok_or_else(|| in_the_way("it is empty".to_owned()))?;
    istio::read(document).map_err(|problem| in_the_way(problem.to_string()))
}

/// Whether `host`, written in a rule of `namespace`, is the service.
fn names(host: &str, namespace: &str, service: &KnownService) -> bool {
    mesh_model::fqdn(host, namespace, service.cluster_domain()) == service.hostname
}

/// A new resource of our own, named as the service.
pub(super) fn ours<S>(service: &KnownService, kind: &str, spec: S) -> Found<S> {
    let metadata = Metadata {
        name: service.name.clone(),
        namespace: Some(service.namespace.clone()),
        labels: [(MANAGED_BY.to_owned(), MESHCTL.to_owned())].into(),
        ..Default::default()
    };
    let key = RuleKey {
        kind: kind.to_owned(),
        namespace: service.namespace.clone(),
        name: service.name.clone(),
    };
    let api_version = istio::API_VERSIONS[0].to_owned();
    let resource = Resource { api_version, kind: kind.to_owned(), metadata, spec, status: None };
    Found { key, resource }
}

/// The route of requests that no other route takes: the first without a match.
pub(super) fn default_route(spec: &VirtualServiceSpec) -> Option<usize> {
    spec.http.iter().position(|route: &HttpRoute| route.matches.is_empty())
}
