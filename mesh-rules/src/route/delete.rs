//! `meshctl route delete reviews`.

use super::resources::{Found, destination_rule, names_subset, virtual_service};
use super::{ExistingRule, KnownService, PREVIOUS_ROUTE, Plan, RouteError};
use crate::RuleKey;
use crate::istio::{HttpRoute, VirtualServiceSpec};

/// What undoes `route set`: what it made goes, and a user's own `VirtualService` gets back
/// the default route that it had. A subset that it added to a user's `DestinationRule` stays, and
/// so does its own `DestinationRule` while a rule names a subset of it.
pub fn delete(service: &KnownService, rules: &[ExistingRule]) -> Result<Plan, RouteError> {
    let mut plan = Plan::default();
    match virtual_service(service, rules)? {
        Some(rule) if rule.is_ours() => plan.delete.push(rule.key),
        Some(rule) => {
            plan.apply.push(restored(rule)?.written()?);
        }
        None => {}
    }
    if let Some(rule) = destination_rule(service, rules)?
        && rule.is_ours()
    {
        match user_of_subsets(service, rules, &plan) {
            None => plan.delete.push(rule.key),
            Some(user) if plan == Plan::default() => {
                let reason = format!("{user} names its subsets; change or delete that first");
                return Err(RouteError::InTheWay { key: rule.key, reason });
            }
            Some(_) => {}
        }
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

/// A `VirtualService` that names a subset of the service once the plan is carried out.
fn user_of_subsets(service: &KnownService, rules: &[ExistingRule], plan: &Plan) -> Option<RuleKey> {
    let is_changed = |rule: &&ExistingRule| {
        plan.delete.contains(&rule.key) || plan.apply.iter().any(|new| new.key == rule.key)
    };
    let mut stay = rules.iter().filter(|rule| !is_changed(rule)).chain(&plan.apply);
    let user = stay.find(|rule| rule.key.kind == "VirtualService" && names_subset(rule, service));
    user.map(|rule| rule.key.clone())
}
