//! What a route does with its requests.

use std::time::Duration;

use mesh_model::Action;

use super::super::Findings;
use super::{HttpRoute, Redirect, Retries, Rewrite, WeightedDestination};

/// Envoy's conditions that mesh-proxy knows too.
const CONDITIONS: [&str; 10] = [
    "connect-failure",
    "refused-stream",
    "reset",
    "reset-before-request",
    "gateway-error",
    "5xx",
    "retriable-4xx",
    "retriable-status-codes",
    "unavailable",
    "cancelled",
];

pub(super) fn of(
    findings: &mut Findings<'_>,
    path: &str,
    http: &HttpRoute,
    fqdn: &dyn Fn(&str) -> String,
) -> Action {
    match &http.redirect {
        Some(redirect) if http.route.is_empty() => {
            if http.rewrite.is_some() || http.timeout.is_some() || http.retries.is_some() {
                let message = "a redirect goes with no rewrite, timeout or retries; take them out";
                findings.add(format!("{path}.redirect"), message);
            }
            return Action::Redirect(redirection(findings, path, redirect));
        }
        Some(_) => findings.add(path, "route and redirect exclude each other; keep one"),
        None if http.route.is_empty() => {
            findings.add(format!("{path}.route"), "there is no destination; name one");
        }
        None => {}
    }
    let timeout = findings.duration(&format!("{path}.timeout"), http.timeout.as_deref());
    let retries = http.retries.as_ref();
    Action::Forward {
        destinations: destinations(findings, path, &http.route, fqdn),
        timeout: timeout.filter(|timeout| *timeout > Duration::ZERO),
        retries: retries.map(|retries| retrying(findings, path, retries)),
        rewrite: http.rewrite.as_ref().map(|to| rewriting(findings, path, to)).unwrap_or_default(),
    }
}

/// Istio's rule: a single destination has everything, whatever its weight says; of several,
/// one without a weight has nothing.
fn destinations(
    findings: &mut Findings<'_>,
    path: &str,
    route: &[WeightedDestination],
    fqdn: &dyn Fn(&str) -> String,
) -> Vec<mesh_model::Destination> {
    let mut total: u64 = 0;
    let mut destinations = Vec::with_capacity(route.len());
    for (i, entry) in route.iter().enumerate() {
        let weight = match entry.weight {
            _ if route.len() == 1 && entry.weight.is_none_or(|weight| weight >= 0) => 100,
            None => 0,
            Some(weight) => u32::try_from(weight).unwrap_or_else(|_| {
                let message = format!("{weight} is no share of the requests; write 0 or more");
                findings.add(format!("{path}.route[{i}].weight"), message);
                0
            }),
        };
        total += u64::from(weight);
        let destination = &entry.destination;
        destinations.push(mesh_model::Destination {
            host: fqdn(&destination.host),
            subset: destination.subset.clone().filter(|subset| !subset.is_empty()),
            port: destination.port.map(|port| port.number),
            weight,
        });
    }
    if total > u64::from(u32::MAX) {
        let message = format!("the weights add up to {total}; at most {} is allowed", u32::MAX);
        findings.add(format!("{path}.route"), message);
    } else if total == 0 && !route.is_empty() {
        let message = "the weights add up to 0, so no request would go anywhere; give one of the \
                       destinations a weight, such as 100";
        findings.add(format!("{path}.route"), message);
    }
    destinations
}

fn retrying(findings: &mut Findings<'_>, path: &str, retries: &Retries) -> mesh_model::Retries {
    let timeout_path = format!("{path}.retries.perTryTimeout");
    let per_try_timeout = findings.duration(&timeout_path, retries.per_try_timeout.as_deref());
    if per_try_timeout.is_some_and(|timeout| timeout < Duration::from_millis(1)) {
        findings.add(timeout_path, "it must be at least 1ms");
    }
    let mut conditions = Vec::new();
    let mut status_codes = Vec::new();
    let wanted = retries.retry_on.as_deref().unwrap_or_default().split(',').map(str::trim);
    for condition in wanted.filter(|condition| !condition.is_empty()) {
        match condition.parse::<u16>() {
            Ok(code) if (100..600).contains(&code) => status_codes.push(code),
            _ if CONDITIONS.contains(&condition) => conditions.push(condition.to_owned()),
            _ => findings.add(
                format!("{path}.retries.retryOn"),
                format!(
                    "\"{condition}\" is not supported; there are response codes and {}",
                    CONDITIONS.join(", ")
                ),
            ),
        }
    }
    mesh_model::Retries { attempts: retries.attempts, per_try_timeout, conditions, status_codes }
}

fn rewriting(findings: &mut Findings<'_>, path: &str, to: &Rewrite) -> mesh_model::Rewrite {
    if to.uri.is_none() && to.authority.is_none() {
        findings.add(format!("{path}.rewrite"), "it is empty; write uri or authority");
    }
    mesh_model::Rewrite { path: to.uri.clone(), authority: to.authority.clone() }
}

fn redirection(findings: &mut Findings<'_>, path: &str, to: &Redirect) -> mesh_model::Redirect {
    let Redirect { uri, authority, scheme, port, .. } = to;
    if uri.is_none() && authority.is_none() && scheme.is_none() && port.is_none() {
        let message = "it is empty; write uri, authority, scheme or port";
        findings.add(format!("{path}.redirect"), message);
    }
    if let Some(scheme) = scheme.as_deref().filter(|scheme| !["http", "https"].contains(scheme)) {
        let message = format!("\"{scheme}\" is no scheme; there are http and https");
        findings.add(format!("{path}.redirect.scheme"), message);
    }
    let code = to.redirect_code.unwrap_or(301);
    if ![301, 302, 303, 307, 308].contains(&code) {
        let message = format!("{code} is no redirection; there are 301, 302, 303, 307 and 308");
        findings.add(format!("{path}.redirect.redirectCode"), message);
    }
    mesh_model::Redirect {
        path: uri.clone(),
        authority: authority.clone(),
        scheme: scheme.clone(),
        port: *port,
        code,
    }
}
