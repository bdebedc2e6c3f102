//! `meshctl route delete reviews`.

use super::resources::{Found, destination_rule, virtual_service};
use super::{ExistingRule, KnownService, PREVIOUS_ROUTE, Plan, RouteError};
use crate::istio::{HttpRoute, VirtualServiceSpec};

/// What undoes `route set`: what it made goes, and a user's own `VirtualService` gets back
/// the default route that it had. A subset that it added to a user's `DestinationRule` stays.
pub fn delete(service: &KnownService, rules: &[ExistingRule]) -> Result<Plan, RouteError> {
    let mut plan = Plan::default();
    let mut subsets_needed = false;
    match virtual_service(service, rules)? {
        Some(rule) if rule.is_ours() => plan.delete.push(rule.key),
        Some(rule) => {
            let rule = restored(rule)?;
            subsets_needed = names_subsets(&rule.resource.spec);
            plan.apply.push(rule.written()?);
        }
        None => {}
    }
    if let Some(rule) = destination_rule(service, rules)?
        && rule.is_ours()
        && !subsets_needed
    {
        plan.delete.push(rule.key);
    }
    if plan == Plan::default() {
        let message =
            format!("{} has no route of meshctl's; its requests go to all its pods", service.name);
        return Err(RouteError::NothingToDelete(message));
    }
    Ok(plan)
}

fn restored(mut rule: Found<VirtualServiceSpec>) -> Result<Found<VirtualServiceSpec>, RouteError> {
    let in_the_way =
        |reason: &str| RouteError::InTheWay { key: rule.key.clone(), reason: reason.to_owned() };
    let Some(text) = rule.resource.metadata.annotations.remove(PREVIOUS_ROUTE) else {
        return Err(in_the_way(
            "you wrote it yourself and meshctl has changed nothing in it; delete it where you \
             applied it",
        ));
    };
    let previous: Option<HttpRoute> = serde_json::from_str(&text)
        .map_err(|_| in_the_way("its annotation with the former route is damaged; edit it"))?;
    let http = &mut rule.resource.spec.http;
    let position = http.iter().position(|route| route.matches.is_empty());
    match (position, previous) {
        (Some(position), Some(previous)) => http[position] = previous,
        (Some(position), None) => {
            http.remove(position);
        }
        (None, Some(previous)) => http.push(previous),
        (None, None) => {}
    }
    Ok(rule)
}

fn names_subsets(spec: &VirtualServiceSpec) -> bool {
    let mut destinations = spec.http.iter().flat_map(|http| &http.route);
    destinations.any(|entry| entry.destination.subset.is_some())
}
