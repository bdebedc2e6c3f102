//! `HTTPRoute`: the type, and its meaning.

mod action;
mod matches;
mod parents;

use mesh_model::{Order, ServiceName, TrafficRoute};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Problem;
use crate::istio::{Findings, Resource, is_host};

/// The Gateway API's `HTTPRoute.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRouteSpec {
    /// The services whose requests are routed, and the gateways that take them.
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    /// For gateways: whom requests are for; none: anybody. Nothing to services.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    /// The one that says most of a request is taken.
    #[serde(default)]
    pub rules: Vec<RouteRule>,
}

/// The Gateway API's `ParentReference`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ParentRef {
    /// None: the Gateway API's; empty: Kubernetes' own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `Gateway`, which is also the default, or `Service`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// None: the route's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// Of a gateway one listener, of a service one port, by name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// The same by number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// The Gateway API's `HTTPRouteRule`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RouteRule {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of them is enough; none: every request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<Match>,
    /// What is done with the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backend_refs: Vec<BackendRef>,
    /// How long it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
}

/// The Gateway API's `HTTPRouteMatch`: all that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Match {
    /// The path; none: every one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// Headers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<HeaderMatch>,
    /// Query parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query_params: Vec<HeaderMatch>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
}

/// The Gateway API's `HTTPPathMatch`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathMatch {
    /// `PathPrefix`, which is also the default, `Exact` or `RegularExpression`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// None: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// The Gateway API's `HTTPHeaderMatch`, and its `HTTPQueryParamMatch`, which is the same.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderMatch {
    /// `Exact`, which is also the default, or `RegularExpression`.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The header, or the parameter.
    pub name: String,
    /// What it must be.
    pub value: String,
}

/// The Gateway API's `HTTPRouteFilter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Which of the others it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// Changes to the request's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_header_modifier: Option<HeaderModifier>,
    /// Changes to the response's headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_header_modifier: Option<HeaderModifier>,
    /// The answer, instead of a backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_redirect: Option<Redirect>,
    /// Changes to whom and what the request is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url_rewrite: Option<Rewrite>,
}

/// The Gateway API's `HTTPHeaderFilter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HeaderModifier {
    /// Headers that replace those of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub set: Vec<HttpHeader>,
    /// Headers that are added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<HttpHeader>,
    /// Headers that are taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// The Gateway API's `HTTPHeader`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpHeader {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// The Gateway API's `HTTPRequestRedirectFilter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redirect {
    /// `http` or `https`; none: as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The new host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
    /// The new port; none: the scheme's, or else as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 302 when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_code: Option<u16>,
}

/// The Gateway API's `HTTPURLRewriteFilter`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rewrite {
    /// The new host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// The new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<PathModifier>,
}

/// The Gateway API's `HTTPPathModifier`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PathModifier {
    /// Which of the others it is.
    #[serde(rename = "type")]
    pub kind: String,
    /// The whole path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_full_path: Option<String>,
    /// What takes the place of the matched prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replace_prefix_match: Option<String>,
}

/// The Gateway API's `HTTPBackendRef`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BackendRef {
    /// Only Kubernetes' own, which is also the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Only `Service`, which is also the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// None: the route's. Another one must have a `ReferenceGrant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The service's name.
    pub name: String,
    /// The service's port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The share, relative to those of the others; 1 when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
}

/// The Gateway API's `HTTPRouteTimeouts`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeouts {
    /// For the whole request; `0s`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// For each attempt; `0s`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend_request: Option<String>,
}

/// What an `HTTPRoute` means: a route for each of its parents, in their order. Or all that is wrong with it by itself.
pub(crate) fn routes(
    source: &str,
    resource: &Resource<HttpRouteSpec>,
    name: ServiceName,
    cluster_domain: &str,
) -> Result<Vec<TrafficRoute>, Vec<Problem>> {
    let spec = &resource.spec;
    let mut findings = Findings::new(source);
    let parents = parents::of(&mut findings, &spec.parent_refs, &name.namespace, cluster_domain);
    for (i, hostname) in spec.hostnames.iter().enumerate() {
        if !is_host(hostname) || hostname == "*" {
            let message = format!("\"{hostname}\" is no name; expected one such as \"*.a.com\"");
            findings.add(format!("spec.hostnames[{i}]"), message);
        }
    }
    if spec.rules.is_empty() {
        findings.add("spec.rules", "there is no rule; add one with a backend");
    }
    let rules = spec.rules.iter().enumerate();
    let http: Vec<_> = rules
        .map(|(i, rule)| {
            let path = format!("spec.rules[{i}]");
            let matches = matches::of(&mut findings, &path, &rule.matches);
            action::of(&mut findings, &path, rule, matches, &name.namespace, cluster_domain)
        })
        .collect();
    let created = resource.metadata.other.get("creationTimestamp").and_then(Value::as_str);
    let order = Order::MostSpecific { created: created.map(str::to_owned) };
    let anybody = vec!["*".to_owned()];
    let hostnames = if spec.hostnames.is_empty() { &anybody } else { &spec.hostnames };
    let parents = parents.into_iter();
    let routes = parents.map(|parent| {
        let hosts = parent.host.map_or_else(|| hostnames.clone(), |host| vec![host]);
        let mut http = http.clone();
        if let Some(port) = parent.port {
            matches::only(&mut http, port);
        }
        TrafficRoute {
            name: name.clone(),
            hosts,
            clients: parent.clients,
            attached: vec![parent.place],
            order: order.clone(),
            http,
        }
    });
    findings.finish(routes.collect())
}

#[cfg(test)]
mod tests;
