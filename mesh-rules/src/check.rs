//! Whether rules fit each other and the services that there are.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mesh_model::{
    Action, Attachment, Destination, GatewayApi, PeerAuthentication, Scope, Service, ServiceName,
    TrafficPolicy, TrafficRoute,
};

use crate::gateway_api::Grant;
use crate::nearest::did_you_mean;
use crate::{Meaning, Problem, Rule, RuleKey};

/// A rule that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The position of the rule in what was checked.
    pub rule: usize,
    /// Why.
    pub problem: Problem,
}

/// Holds `rules` against each other and against `services`: hosts, ports, subsets and gateways
/// must exist, and one service has one rule of each kind, as has the mesh, a namespace or a set of
/// labels. Of two that want the same, the later is refused.
pub fn check(rules: &[&Rule], services: &[Arc<Service>]) -> Vec<Refusal> {
    let mut policies = HashMap::new();
    let mut gateways = HashSet::new();
    let mut grants = Vec::new();
    for rule in rules {
        match &rule.meaning {
            Meaning::Policy(policy) => {
                policies.entry(policy.host.as_str()).or_insert(policy);
            }
            Meaning::Gateway(gateway) if gateway.api == GatewayApi::Istio => {
                gateways.insert(&gateway.name);
            }
            Meaning::Grant(grant) => grants.push(grant),
            _ => {}
        }
    }
    let services = services.iter().map(|service| (service.hostname.as_str(), service)).collect();
    let mut checker = Checker {
        services,
        policies,
        gateways,
        grants,
        owners: BTreeMap::new(),
        current: 0,
        refusals: Vec::new(),
    };
    for (position, rule) in rules.iter().enumerate() {
        checker.current = position;
        checker.rule(rule);
    }
    checker.refusals
}

/// What rules of either kind claim that route a service's requests.
const ROUTE: &str = "route";
const HTTP_ROUTE: &str = "HTTPRoute";

struct Checker<'a> {
    services: BTreeMap<&'a str, &'a Arc<Service>>,
    policies: HashMap<&'a str, &'a TrafficPolicy>,
    /// Istio's.
    gateways: HashSet<&'a ServiceName>,
    grants: Vec<&'a Grant>,
    /// Who has what: by kind, or [`ROUTE`], and host or scope.
    owners: BTreeMap<(&'a str, String), &'a RuleKey>,
    current: usize,
    refusals: Vec<Refusal>,
}

impl<'a> Checker<'a> {
    fn rule(&mut self, rule: &'a Rule) {
        match &rule.meaning {
            Meaning::Route(route) => self.route(rule, route),
            Meaning::Policy(policy) => {
                if let Some(service) = self.host(rule, "spec.host", &policy.host) {
                    self.ports(rule, service, policy);
                }
                self.claim(rule, "spec.host", &rule.key.kind, policy.host.clone());
            }
            Meaning::PeerAuthentication(peer) => {
                self.claim(rule, "spec.selector", &rule.key.kind, scope(peer));
            }
            Meaning::Routes(routes) => {
                for (i, route) in routes.iter().enumerate() {
                    self.parent(rule, &format!("spec.parentRefs[{i}]"), route);
                }
                // They lead to the same.
                if let Some(route) = routes.first() {
                    self.backends(rule, route);
                }
            }
            // What is behind it, its routes say.
            Meaning::Gateway(_) | Meaning::Grant(_) | Meaning::Foreign => {}
        }
    }

    fn refuse(&mut self, rule: &Rule, path: &str, message: String) {
        // What came without a file is known by its name.
        let source = match rule.source.is_empty() {
            true => rule.key.to_string(),
            false => rule.source.clone(),
        };
        let problem = Problem { source, path: path.to_owned(), message };
        self.refusals.push(Refusal { rule: self.current, problem });
    }

    /// `HTTPRoute`s share what they claim, as the Gateway API says.
    fn claim(&mut self, rule: &'a Rule, path: &str, sort: &'a str, what: String) {
        let owner = *self.owners.entry((sort, what.clone())).or_insert(&rule.key);
        let shared = owner.kind == HTTP_ROUTE && rule.key.kind == HTTP_ROUTE;
        if owner != &rule.key && !shared {
            let message = format!("{what} already has the {owner}; put both into one");
            self.refuse(rule, path, message);
        }
    }

    fn host(&mut self, rule: &Rule, path: &str, host: &str) -> Option<&'a Arc<Service>> {
        let found = self.services.get(host).copied();
        if found.is_none() {
            let message = match self.behind(host) {
                Some(service) => format!(
                    "{host} is another name (ExternalName) of {0} and has no rules of its own; \
                     name {0}, whose rules it has",
                    service.hostname
                ),
                None => unknown_service(host, self.services.values().copied()),
            };
            self.refuse(rule, path, message);
        }
        found
    }

    /// The service that an alias stands for.
    fn behind(&self, host: &str) -> Option<&'a Arc<Service>> {
        let mut services = self.services.values().copied();
        services.find(|service| service.aliases.iter().any(|alias| alias.hostname == host))
    }

    fn port(&mut self, rule: &Rule, path: &str, service: &Service, port: u16) {
        if service.port(port).is_none() {
            let message = format!(
                "{} has no port {port}; it has {}",
                service.hostname,
                list(service.ports.iter().map(|port| port.number.to_string()))
            );
            self.refuse(rule, path, message);
        }
    }

    fn ports(&mut self, rule: &Rule, service: &Service, policy: &TrafficPolicy) {
        for port in policy.ports.keys() {
            self.port(rule, "spec.trafficPolicy.portLevelSettings", service, *port);
        }
        for (i, subset) in policy.subsets.iter().enumerate() {
            let path = format!("spec.subsets[{i}].trafficPolicy.portLevelSettings");
            for port in subset.ports.keys() {
                self.port(rule, &path, service, *port);
            }
        }
    }

    fn route(&mut self, rule: &'a Rule, route: &'a TrafficRoute) {
        self.attached(rule, route);
        let in_sidecars = route.is_for(&Attachment::Mesh);
        let by_gateways = route.attached.iter().any(|place| *place != Attachment::Mesh);
        for (i, host) in route.hosts.iter().enumerate().filter(|_| in_sidecars) {
            let path = format!("spec.hosts[{i}]");
            // What is no service is for the gateways alone.
            let is_known = self.services.contains_key(host.as_str()) || self.behind(host).is_some();
            if by_gateways && !is_known {
                continue;
            }
            self.host(rule, &path, host);
            self.claim(rule, &path, ROUTE, host.clone());
        }
        for (i, http) in route.http.iter().enumerate() {
            if let Action::Forward { destinations, .. } = &http.action {
                for (j, destination) in destinations.iter().enumerate() {
                    let path = format!("spec.http[{i}].route[{j}].destination");
                    self.destination(rule, &path, destination);
                }
            }
        }
    }

    /// What one parent of an `HTTPRoute` makes of it. Gateways may be somebody else's.
    fn parent(&mut self, rule: &'a Rule, path: &str, route: &'a TrafficRoute) {
        if !route.is_for(&Attachment::Mesh) {
            return;
        }
        for host in &route.hosts {
            let Some(service) = self.host(rule, path, host) else { continue };
            let ports = route.http.iter().flat_map(|http| &http.matches);
            if let Some(port) = ports.filter_map(|matcher| matcher.port).next() {
                self.port(rule, &format!("{path}.port"), service, port);
            }
            if route.clients.is_none() {
                self.claim(rule, path, ROUTE, host.clone());
            }
        }
    }

    fn backends(&mut self, rule: &Rule, route: &TrafficRoute) {
        for (i, http) in route.http.iter().enumerate() {
            let Action::Forward { destinations, .. } = &http.action else { continue };
            for (j, destination) in destinations.iter().enumerate() {
                let path = format!("spec.rules[{i}].backendRefs[{j}]");
                let Some(service) = self.host(rule, &path, &destination.host) else { continue };
                if let Some(port) = destination.port {
                    self.port(rule, &format!("{path}.port"), service, port);
                }
                self.granted(rule, &path, &service.name);
            }
        }
    }

    fn granted(&mut self, rule: &Rule, path: &str, service: &ServiceName) {
        let own = &rule.key.namespace;
        let granted = || self.grants.iter().any(|grant| grant.permits(own, service));
        if service.namespace == *own || granted() {
            return;
        }
        let ServiceName { name, namespace } = service;
        let message = format!(
            "service {name} is in namespace {namespace}, where no ReferenceGrant permits an \
             HTTPRoute of {own} to lead to it"
        );
        self.refuse(rule, path, message);
    }

    fn attached(&mut self, rule: &Rule, route: &TrafficRoute) {
        for (i, place) in route.attached.iter().enumerate() {
            let Attachment::Gateway(gateway) = place else { continue };
            if self.gateways.contains(gateway) {
                continue;
            }
            let ServiceName { name, namespace } = gateway;
            let near = self.gateways.iter().filter(|other| other.namespace == *namespace);
            let message = format!(
                "there is no Gateway {namespace}/{name}{}; apply one first, or in the same file",
                did_you_mean(name, near.map(|other| other.name.as_str()))
            );
            self.refuse(rule, &format!("spec.gateways[{i}]"), message);
        }
    }

    fn destination(&mut self, rule: &Rule, path: &str, destination: &Destination) {
        let Some(service) = self.host(rule, &format!("{path}.host"), &destination.host) else {
            return;
        };
        if let Some(port) = destination.port {
            self.port(rule, &format!("{path}.port.number"), service, port);
        }
        let Some(subset) = &destination.subset else { return };
        let policy = self.policies.get(destination.host.as_str()).copied();
        let names = || policy.iter().flat_map(|policy| &policy.subsets).map(|s| s.name.as_str());
        if names().any(|name| name == subset) {
            return;
        }
        let message = match policy {
            None => format!(
                "there is no subset \"{subset}\": {} has no DestinationRule; apply one that \
                 declares it first, or in the same file",
                service.hostname
            ),
            Some(policy) => format!(
                "there is no subset \"{subset}\"{}; DestinationRule {}/{} has {}",
                did_you_mean(subset, names()),
                policy.name.namespace,
                policy.name.name,
                list(names().map(str::to_owned))
            ),
        };
        self.refuse(rule, &format!("{path}.subset"), message);
    }
}

/// Whom it is for, in words.
fn scope(rule: &PeerAuthentication) -> String {
    let namespace = &rule.name.namespace;
    match &rule.scope {
        Scope::Mesh => "the mesh".to_owned(),
        Scope::Namespace => format!("namespace {namespace}"),
        Scope::Workloads(labels) => {
            let labels: Vec<_> =
                labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            format!("{} in namespace {namespace}", labels.join(","))
        }
    }
}

fn unknown_service<'a>(host: &str, services: impl Iterator<Item = &'a Arc<Service>>) -> String {
    let hostnames: Vec<&str> = services.map(|service| service.hostname.as_str()).collect();
    format!(
        "there is no service {host}{}; there are {}",
        did_you_mean(host, hostnames.iter().copied()),
        list(hostnames.iter().map(|name| (*name).to_owned()))
    )
}

/// `a, b, c`; says so when there are none, and leaves out what nobody would read.
pub(crate) fn list(names: impl Iterator<Item = String>) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = names.collect();
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => {
            format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN)
        }
        _ => names.join(", "),
    }
}
