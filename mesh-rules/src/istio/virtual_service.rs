//! `VirtualService`: the type, and its meaning.

mod action;
mod attachment;
mod matches;

use std::collections::BTreeMap;

use mesh_model::{Attachment, HeaderChanges, Order, ServiceName, TrafficRoute};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Findings, Resource, gateway};
use crate::Problem;

/// Istio's `VirtualService.spec`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct VirtualServiceSpec {
    /// The services whose requests are routed; for gateways any name, `*.NAME` or `*`.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Gateways that take the requests, `NAME` or `NAMESPACE/NAME`; `mesh`, which is also the
    /// default: the sidecars of those who send them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// The first whose match accepts a request is taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpRoute>,
    /// Only `*`, which is also the default.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_to: Vec<String>,
}

/// Istio's `HTTPRoute`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpRoute {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Any of them is enough; none: every request.
    #[serde(rename = "match", default, skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<HttpMatch>,
    /// Where the requests go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub route: Vec<WeightedDestination>,
    /// The answer, instead of a destination.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<Redirect>,
    /// Changes to the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// For the whole request; `0s`: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<String>,
    /// When it is sent again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Changes to headers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub headers: Option<Headers>,
}

/// Istio's `Headers`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    /// Of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<HeaderOperations>,
    /// Of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response: Option<HeaderOperations>,
}

/// Istio's `HeaderOperations`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderOperations {
    /// Headers that replace those of the same name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Headers that are added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub add: BTreeMap<String, String>,
    /// Headers that are taken out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

/// Istio's `HTTPMatchRequest`: all that is said must hold.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpMatch {
    /// For people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<StringMatch>,
    /// The method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<StringMatch>,
    /// Headers; an empty condition: the header is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, StringMatch>,
    /// Conditions on headers that must not hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub without_headers: BTreeMap<String, StringMatch>,
    /// Query parameters; an empty condition: the parameter is there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query_params: BTreeMap<String, StringMatch>,
    /// The service port that the client called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Some of the rule's `gateways`; none: all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gateways: Vec<String>,
    /// For an exact or prefix `uri`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ignore_uri_case: bool,
}

/// Istio's `StringMatch`: one of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StringMatch {
    /// It is this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// It begins with this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The whole of it matches this expression of RE2's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
}

/// Istio's `HTTPRouteDestination`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WeightedDestination {
    /// Where.
    pub destination: Destination,
    /// The share, relative to the others of the route. A single one needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<i64>,
}

/// Istio's `Destination`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Destination {
    /// A service, in the rule's namespace when it is a short name.
    pub host: String,
    /// A subset of its `DestinationRule`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Its port; not needed when it has one only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<Port>,
}

/// Istio's `PortSelector`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// A port of the service.
    pub number: u16,
}

/// Istio's `HTTPRewrite`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// Takes the place of the matched path or prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The new `Host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

/// Istio's `HTTPRedirect`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Redirect {
    /// The new path.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// The new host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
    /// The new scheme, `http` or `https`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// The new port; none: as it was, or that of the new scheme.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// 301 when it is not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_code: Option<u16>,
}

/// Istio's `HTTPRetry`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Retries {
    /// At most so many after the first; 0: never.
    #[serde(default)]
    pub attempts: u32,
    /// For each attempt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout: Option<String>,
    /// Envoy's conditions and response codes, comma separated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_on: Option<String>,
}

/// What a `VirtualService` means, or all that is wrong with it by itself.
pub(crate) fn route(
    source: &str,
    resource: &Resource<VirtualServiceSpec>,
    name: ServiceName,
    cluster_domain: &str,
) -> Result<TrafficRoute, Vec<Problem>> {
    let spec = &resource.spec;
    let mut findings = Findings::new(source);
    let fqdn = |host: &str| mesh_model::fqdn(host, &name.namespace, cluster_domain);

    let attached = attachment::of(&mut findings, "spec.gateways", &spec.gateways, &name.namespace);
    let attached = if attached.is_empty() { vec![Attachment::Mesh] } else { attached };
    let by_gateways = attached.iter().any(|place| *place != Attachment::Mesh);
    // Istio's rule. Elsewhere we complete `reviews.default` too, but here it may be any name.
    let full = |host: &str| match by_gateways && host.contains('.') {
        true => host.to_owned(),
        false => fqdn(host),
    };
    hosts(&mut findings, &spec.hosts, by_gateways, &full);
    findings.exported(&spec.export_to);
    if spec.http.is_empty() {
        findings.add("spec.http", "there is no route; add one with a destination");
    }
    let routes = spec.http.iter().enumerate();
    let http = routes.map(|(i, http)| {
        let path = format!("spec.http[{i}]");
        mesh_model::HttpRoute {
            name: http.name.clone().unwrap_or_default(),
            matches: matches::of(&mut findings, &path, &http.matches, &name.namespace, &attached),
            action: action::of(&mut findings, &path, http, &fqdn),
            request_headers: changes(http.headers.as_ref().and_then(|h| h.request.as_ref())),
            response_headers: changes(http.headers.as_ref().and_then(|h| h.response.as_ref())),
        }
    });
    let http = http.collect();
    let hosts = spec.hosts.iter().map(|host| full(host)).collect();
    let order = Order::AsWritten;
    findings.finish(TrafficRoute { name, hosts, clients: None, attached, order, http })
}

fn changes(operations: Option<&HeaderOperations>) -> HeaderChanges {
    let Some(HeaderOperations { set, add, remove }) = operations else {
        return HeaderChanges::default();
    };
    let pairs = |headers: &BTreeMap<String, String>| headers.clone().into_iter().collect();
    HeaderChanges { set: pairs(set), add: pairs(add), remove: remove.clone() }
}

fn hosts(
    findings: &mut Findings<'_>,
    hosts: &[String],
    by_gateways: bool,
    full: &dyn Fn(&str) -> String,
) {
    if hosts.is_empty() {
        findings.add("spec.hosts", "it is empty; name the service whose requests are routed");
    }
    for (i, host) in hosts.iter().enumerate() {
        let path = format!("spec.hosts[{i}]");
        if host.contains('*') && !by_gateways {
            let message = format!("\"{host}\": wildcards are for gateways, and it names none");
            findings.add(&path, message);
        } else if !gateway::is_host(host) {
            let message = format!(
                "\"{host}\" is no name; expected one such as \"a.com\" or \"*.a.com\", or \"*\""
            );
            findings.add(&path, message);
        }
        if hosts[..i].iter().any(|earlier| full(earlier) == full(host)) {
            findings.add(path, format!("\"{host}\" is named twice"));
        }
    }
}
