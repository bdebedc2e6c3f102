//! What a rule does with its requests.

use std::time::Duration;

use mesh_model::{
    Action, Destination, HeaderChanges, HttpMatch, HttpRoute, PathMatch, Retries, ServiceName,
};

use super::{BackendRef, Filter, HeaderModifier, Redirect, Rewrite, RouteRule, Timeouts};
use crate::istio::Findings;

/// The API's words for what we do, by the field that says more of it.
const FILTERS: [(&str, &str); 4] = [
    ("RequestHeaderModifier", "requestHeaderModifier"),
    ("ResponseHeaderModifier", "responseHeaderModifier"),
    ("RequestRedirect", "requestRedirect"),
    ("URLRewrite", "urlRewrite"),
];

/// The rule at `path` of a route of `namespace`, which takes the requests of `matches`.
pub(super) fn of(
    findings: &mut Findings<'_>,
    path: &str,
    rule: &RouteRule,
    matches: Vec<HttpMatch>,
    namespace: &str,
    cluster_domain: &str,
) -> HttpRoute {
    let mut request_headers = HeaderChanges::default();
    let mut response_headers = HeaderChanges::default();
    let mut redirect = None;
    let mut rewrite = mesh_model::Rewrite::default();
    for (i, filter) in rule.filters.iter().enumerate() {
        let path = format!("{path}.filters[{i}]");
        if rule.filters[..i].iter().any(|earlier| earlier.kind == filter.kind) {
            findings.add(format!("{path}.type"), format!("{} is there twice", filter.kind));
        }
        match kind(findings, &path, filter) {
            Some(Kind::Request(changes)) => request_headers = changed(changes),
            Some(Kind::Response(changes)) => response_headers = changed(changes),
            Some(Kind::Redirect(to)) => redirect = Some(redirection(findings, &path, to)),
            Some(Kind::Rewrite(to)) => rewrite = rewriting(findings, &path, to, &matches),
            None => {}
        }
    }
    let action = match redirect {
        Some(redirect) => {
            if !rule.backend_refs.is_empty() || rewrite != mesh_model::Rewrite::default() {
                let message = "a redirect goes with no backend and no rewrite; take them out";
                findings.add(path, message);
            }
            Action::Redirect(redirect)
        }
        None => {
            let (timeout, retries) = timeouts(findings, path, rule.timeouts.as_ref());
            Action::Forward {
                destinations: backends(
                    findings,
                    path,
                    &rule.backend_refs,
                    namespace,
                    cluster_domain,
                ),
                timeout,
                retries,
                rewrite,
            }
        }
    };
    HttpRoute {
        name: rule.name.clone().unwrap_or_default(),
        matches,
        action,
        request_headers,
        response_headers,
    }
}

enum Kind<'a> {
    Request(&'a HeaderModifier),
    Response(&'a HeaderModifier),
    Redirect(&'a Redirect),
    Rewrite(&'a Rewrite),
}

fn kind<'a>(findings: &mut Findings<'_>, path: &str, filter: &'a Filter) -> Option<Kind<'a>> {
    let found = match filter.kind.as_str() {
        "RequestHeaderModifier" => filter.request_header_modifier.as_ref().map(Kind::Request),
        "ResponseHeaderModifier" => filter.response_header_modifier.as_ref().map(Kind::Response),
        "RequestRedirect" => filter.request_redirect.as_ref().map(Kind::Redirect),
        "URLRewrite" => filter.url_rewrite.as_ref().map(Kind::Rewrite),
        other => {
            let known: Vec<_> = FILTERS.iter().map(|(kind, _)| *kind).collect();
            let message =
                format!("\"{other}\" is not supported yet; there are {}", known.join(", "));
            findings.add(format!("{path}.type"), message);
            return None;
        }
    };
    if found.is_none() {
        let field = FILTERS.iter().find(|(kind, _)| *kind == filter.kind);
        let field = field.map_or("", |(_, field)| *field);
        findings.add(format!("{path}.{field}"), format!("it is missing; {} needs it", filter.kind));
    }
    found
}

fn changed(changes: &HeaderModifier) -> HeaderChanges {
    let headers = |headers: &[super::HttpHeader]| {
        headers.iter().map(|header| (header.name.clone(), header.value.clone())).collect()
    };
    HeaderChanges {
        set: headers(&changes.set),
        add: headers(&changes.add),
        remove: changes.remove.clone(),
    }
}

fn redirection(findings: &mut Findings<'_>, path: &str, to: &Redirect) -> mesh_model::Redirect {
    let path = format!("{path}.requestRedirect");
    let code = to.status_code.unwrap_or(302);
    if ![301, 302, 303, 307, 308].contains(&code) {
        let message = format!("{code} is no redirection; there are 301, 302, 303, 307 and 308");
        findings.add(format!("{path}.statusCode"), message);
    }
    if let Some(scheme) = to.scheme.as_deref().filter(|scheme| !["http", "https"].contains(scheme))
    {
        let message = format!("\"{scheme}\" is no scheme; there are http and https");
        findings.add(format!("{path}.scheme"), message);
    }
    let whole = to.path.as_ref().and_then(|modifier| {
        if modifier.kind != "ReplaceFullPath" {
            let message =
                format!("\"{}\" is not supported yet; there is ReplaceFullPath", modifier.kind);
            findings.add(format!("{path}.path.type"), message);
        }
        modifier.replace_full_path.clone()
    });
    mesh_model::Redirect {
        path: whole,
        authority: to.hostname.clone(),
        scheme: to.scheme.clone(),
        port: to.port,
        code,
    }
}

fn rewriting(
    findings: &mut Findings<'_>,
    path: &str,
    to: &Rewrite,
    matches: &[HttpMatch],
) -> mesh_model::Rewrite {
    let path = format!("{path}.urlRewrite");
    let authority = to.hostname.clone();
    let Some(modifier) = &to.path else { return mesh_model::Rewrite { path: None, authority } };
    let all = |wanted: fn(&PathMatch) -> bool| {
        !matches.is_empty() && matches.iter().all(|m| m.path.as_ref().is_some_and(wanted))
    };
    let replacement = match modifier.kind.as_str() {
        "ReplacePrefixMatch" => {
            let any_path = matches.iter().all(|matcher| matcher.path.is_none());
            if !any_path && !all(|path| matches!(path, PathMatch::Segments(_))) {
                let message = "it is for rules that match by PathPrefix alone";
                findings.add(format!("{path}.path.replacePrefixMatch"), message);
            }
            let to = modifier.replace_prefix_match.as_ref();
            let to = to.map(|to| to.strip_suffix('/').unwrap_or(to));
            // What follows the prefix begins with the slash, but where that is the prefix.
            to.map(|to| if any_path { format!("{to}/") } else { to.to_owned() })
        }
        "ReplaceFullPath" => {
            if !all(|path| matches!(path, PathMatch::Exact(_))) {
                let message = "it is supported for rules that match by Exact alone yet";
                findings.add(format!("{path}.path.replaceFullPath"), message);
            }
            modifier.replace_full_path.clone()
        }
        other => {
            let message = format!(
                "\"{other}\" is no way to change a path; there are ReplacePrefixMatch and \
                 ReplaceFullPath"
            );
            findings.add(format!("{path}.path.type"), message);
            None
        }
    };
    mesh_model::Rewrite { path: replacement, authority }
}

fn timeouts(
    findings: &mut Findings<'_>,
    path: &str,
    timeouts: Option<&Timeouts>,
) -> (Option<Duration>, Option<Retries>) {
    let Some(timeouts) = timeouts else { return (None, None) };
    let path = format!("{path}.timeouts");
    let mut limit = |field: &str, text: &Option<String>| {
        let found = findings.duration(&format!("{path}.{field}"), text.as_deref());
        found.filter(|limit| *limit > Duration::ZERO)
    };
    let request = limit("request", &timeouts.request);
    let attempt = limit("backendRequest", &timeouts.backend_request);
    if let (Some(request), Some(attempt)) = (request, attempt)
        && attempt > request
    {
        let message = "it must not be longer than request";
        findings.add(format!("{path}.backendRequest"), message);
    }
    (request, attempt.map(Retries::with_timeout))
}

fn backends(
    findings: &mut Findings<'_>,
    path: &str,
    backends: &[BackendRef],
    namespace: &str,
    cluster_domain: &str,
) -> Vec<Destination> {
    if backends.is_empty() {
        findings.add(format!("{path}.backendRefs"), "there is no backend; name a Service");
    }
    let mut total: u64 = 0;
    let mut destinations = Vec::with_capacity(backends.len());
    for (i, backend) in backends.iter().enumerate() {
        let path = format!("{path}.backendRefs[{i}]");
        let (group, kind) = (backend.group.as_deref(), backend.kind.as_deref());
        if group.is_some_and(|group| !group.is_empty())
            || kind.is_some_and(|kind| kind != "Service")
        {
            let message = format!(
                "\"{}\" is not supported yet; there is Service of group \"\"",
                kind.unwrap_or("Service")
            );
            findings.add(format!("{path}.kind"), message);
        }
        if backend.port.is_none() {
            findings.add(format!("{path}.port"), "it is missing; write the service's port");
        }
        let weight = backend.weight.unwrap_or(1);
        let weight = u32::try_from(weight).unwrap_or_else(|_| {
            let message = format!("{weight} is no share of the requests; write 0 or more");
            findings.add(format!("{path}.weight"), message);
            0
        });
        total += u64::from(weight);
        let service = ServiceName {
            name: backend.name.clone(),
            namespace: backend.namespace.clone().unwrap_or_else(|| namespace.to_owned()),
        };
        let host = service.hostname(cluster_domain);
        destinations.push(Destination { host, subset: None, port: backend.port, weight });
    }
    if total == 0 && !backends.is_empty() {
        let message = "the weights add up to 0, so no request would go anywhere";
        findings.add(format!("{path}.backendRefs"), message);
    }
    destinations
}
