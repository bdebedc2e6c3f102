//! The rules that exist for one service, in their types.

use serde::Serialize;
use serde::de::DeserializeOwned;

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

/// The `VirtualService` that routes, in sidecars, the service's requests.
pub(super) fn virtual_service(
    service: &KnownService,
    rules: &[ExistingRule],
) -> Result<Option<Found<VirtualServiceSpec>>, RouteError> {
    find(rules, "VirtualService", |key, spec: &VirtualServiceSpec| {
        let in_sidecars = spec.gateways.is_empty() || spec.gateways.iter().any(|g| g == "mesh");
        in_sidecars && spec.hosts.iter().any(|host| names(host, &key.namespace, service))
    })
}

/// The `DestinationRule` of the service.
pub(super) fn destination_rule(
    service: &KnownService,
    rules: &[ExistingRule],
) -> Result<Option<Found<DestinationRuleSpec>>, RouteError> {
    find(rules, "DestinationRule", |key, spec: &DestinationRuleSpec| {
        names(&spec.host, &key.namespace, service)
    })
}

/// Every `VirtualService` of these rules.
pub(super) fn virtual_services<'a>(
    rules: impl Iterator<Item = &'a ExistingRule>,
) -> impl Iterator<Item = Result<Found<VirtualServiceSpec>, RouteError>> {
    let rules = rules.filter(|rule| rule.key.kind == "VirtualService");
    rules.map(|rule| Ok(Found { key: rule.key.clone(), resource: read(rule)? }))
}

fn find<S: DeserializeOwned>(
    rules: &[ExistingRule],
    kind: &str,
    wanted: impl Fn(&RuleKey, &S) -> bool,
) -> Result<Option<Found<S>>, RouteError> {
    for rule in rules.iter().filter(|rule| rule.key.kind == kind) {
        let resource = read::<S>(rule)?;
        if wanted(&rule.key, &resource.spec) {
            return Ok(Some(Found { key: rule.key.clone(), resource }));
        }
    }
    Ok(None)
}

fn read<S: DeserializeOwned>(rule: &ExistingRule) -> Result<Resource<S>, RouteError> {
    let in_the_way = |reason: String| RouteError::InTheWay { key: rule.key.clone(), reason };
    let documents = documents("", &rule.yaml).map_err(|problem| in_the_way(problem.to_string()))?;
    let document = documents.first().ok_or_else(|| in_the_way("it is empty".to_owned()))?;
    istio::read(document).map_err(|problem| in_the_way(problem.to_string()))
}

/// Whether `host`, written in a rule of `namespace`, is the service.
pub(super) fn names(host: &str, namespace: &str, service: &KnownService) -> bool {
    let prefix = format!("{}.{}.svc.", service.name, service.namespace);
    let domain = service.hostname.strip_prefix(&prefix).unwrap_or_default();
    mesh_model::fqdn(host, namespace, domain) == service.hostname
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
