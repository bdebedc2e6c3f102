//! `meshctl route set reviews v1=50 v3=50`.

use serde_json::Value;

use super::resources::{Found, default_route, destination_rule, ours, virtual_service};
use super::{ExistingRule, KnownService, PREVIOUS_ROUTE, Plan, RouteError, Weight};
use crate::istio::{
    Destination, DestinationRuleSpec, HttpRoute, Subset, VirtualServiceSpec, WeightedDestination,
};
use crate::nearest::did_you_mean;

/// What to apply so that the service's requests, those that no route with a match takes, go
/// to its versions by these weights. `rules` are all that exist.
pub fn set(
    service: &KnownService,
    rules: &[ExistingRule],
    weights: &[Weight],
) -> Result<Plan, RouteError> {
    for weight in weights {
        known_version(service, &weight.version)?;
    }
    let mut plan = Plan::default();
    let (policy, changed) = with_subsets(service, rules, weights)?;
    let mut destinations = Vec::with_capacity(weights.len());
    for weight in weights {
        let subset = subset_of(&policy.resource.spec, &weight.version).map(|s| s.name.clone());
        let host = service.hostname.clone();
        let destination = Destination { host, subset, port: None };
        destinations.push(WeightedDestination { destination, weight: Some(weight.percent.into()) });
    }
    if changed {
        plan.apply.push(policy.written()?);
    }
    plan.apply.push(with_route(service, rules, destinations)?.written()?);
    Ok(plan)
}

fn known_version(service: &KnownService, version: &str) -> Result<(), RouteError> {
    if service.versions.iter().any(|known| known == version) {
        return Ok(());
    }
    Err(RouteError::UnknownVersion {
        service: service.name.clone(),
        version: version.to_owned(),
        hint: did_you_mean(version, service.versions.iter().map(String::as_str)),
        known: crate::check::list(service.versions.iter().cloned()),
    })
}

/// The subset that is this version: by its labels, whatever its name.
fn subset_of<'a>(spec: &'a DestinationRuleSpec, version: &str) -> Option<&'a Subset> {
    spec.subsets.iter().find(|subset| {
        subset.labels.len() == 1 && subset.labels.get("version").is_some_and(|v| v == version)
    })
}

/// The service's `DestinationRule` with a subset for each version, and whether that is new.
fn with_subsets(
    service: &KnownService,
    rules: &[ExistingRule],
    weights: &[Weight],
) -> Result<(Found<DestinationRuleSpec>, bool), RouteError> {
    let existing = destination_rule(service, rules)?;
    let mut changed = existing.is_none();
    let mut policy = existing.unwrap_or_else(|| {
        let host = service.hostname.clone();
        ours(service, "DestinationRule", DestinationRuleSpec { host, ..Default::default() })
    });
    for Weight { version, .. } in weights {
        let subsets = &mut policy.resource.spec.subsets;
        if subsets.iter().any(|s| s.name == *version)
            && subset_of(&policy.resource.spec, version).is_none()
        {
            return Err(RouteError::InTheWay {
                key: policy.key,
                reason: format!(
                    "its subset \"{version}\" is not the pods with version={version}; give it \
                     that label alone, or another name"
                ),
            });
        }
        if subset_of(&policy.resource.spec, version).is_none() {
            let labels = [("version".to_owned(), version.clone())].into();
            let subset = Subset { name: version.clone(), labels, traffic_policy: None };
            policy.resource.spec.subsets.push(subset);
            changed = true;
        }
    }
    Ok((policy, changed))
}

/// The service's `VirtualService` with these destinations in its default route.
fn with_route(
    service: &KnownService,
    rules: &[ExistingRule],
    destinations: Vec<WeightedDestination>,
) -> Result<Found<VirtualServiceSpec>, RouteError> {
    let Some(mut rule) = virtual_service(service, rules)? else {
        let route = HttpRoute { route: destinations, ..Default::default() };
        let hosts = vec![service.hostname.clone()];
        let spec = VirtualServiceSpec { hosts, http: vec![route], ..Default::default() };
        return Ok(ours(service, "VirtualService", spec));
    };
    if rule.resource.spec.hosts.len() > 1 {
        let reason = format!(
            "it is for {} at once; give {} a VirtualService of its own, or edit this one",
            rule.resource.spec.hosts.join(", "),
            service.name
        );
        return Err(RouteError::InTheWay { key: rule.key, reason });
    }
    let ours = rule.is_ours();
    let resource = &mut rule.resource;
    let previous =
        default_route(&resource.spec).map(|position| resource.spec.http[position].clone());
    if !ours && !resource.metadata.annotations.contains_key(PREVIOUS_ROUTE) {
        let text = serde_json::to_value(&previous).unwrap_or(Value::Null).to_string();
        resource.metadata.annotations.insert(PREVIOUS_ROUTE.to_owned(), text);
    }
    let route = HttpRoute { route: destinations, redirect: None, ..previous.unwrap_or_default() };
    match default_route(&resource.spec) {
        Some(position) => resource.spec.http[position] = route,
        None => resource.spec.http.push(route),
    }
    Ok(rule)
}
