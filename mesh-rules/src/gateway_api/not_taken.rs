//! Whether a gateway takes a route that names it for its parent.

use std::collections::{BTreeMap, HashMap};

use mesh_model::{Gateway, GatewayApi, GatewayServer, ServiceName, TrafficRoute};

use crate::check::list;
use crate::nearest::did_you_mean;
use crate::{Meaning, Rule};

/// Why no listener of a gateway takes a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTaken {
    /// In the Gateway API's words, those of the condition `Accepted`.
    pub reason: &'static str,
    /// In ours.
    pub message: String,
}

/// The Gateway API's gateways that are the mesh's, by name.
pub type Gateways<'a> = HashMap<&'a ServiceName, &'a Gateway>;

/// Those among rules.
pub fn gateways<'a>(rules: impl Iterator<Item = &'a Rule>) -> Gateways<'a> {
    let gateways = rules.filter_map(|rule| match &rule.meaning {
        Meaning::Gateway(gateway) => Some(gateway),
        _ => None,
    });
    let gateways = gateways.filter(|gateway| gateway.api == GatewayApi::Kubernetes);
    gateways.map(|gateway| (&gateway.name, gateway)).collect()
}

/// Of an `HTTPRoute` the parents that are one of these gateways and do not take it, by their
/// position in `spec.parentRefs`. What others take is none the less in force.
pub fn not_taken(rule: &Rule, gateways: &Gateways<'_>) -> BTreeMap<usize, NotTaken> {
    let Meaning::Routes(routes) = &rule.meaning else { return BTreeMap::new() };
    let parents = routes.iter().enumerate();
    let not_taken = parents.filter_map(|(position, route)| {
        let (_, name) = route.attached.first()?.gateway()?;
        Some((position, why_not(route, gateways.get(name)?)?))
    });
    not_taken.collect()
}

/// The Gateway API's `ParentReference` and `Listener`: by name and port, then by the route's
/// namespace, then by hostname.
fn why_not(route: &TrafficRoute, gateway: &Gateway) -> Option<NotTaken> {
    let own = &route.name.namespace;
    let ServiceName { name, namespace } = &gateway.name;
    let no = |reason, message| Some(NotTaken { reason, message });
    let is_named =
        |server: &&GatewayServer| route.attached.iter().any(|place| place.is_at(gateway, server));
    let named: Vec<_> = gateway.servers.iter().filter(is_named).collect();
    if named.is_empty() {
        return no("NoMatchingParent", no_such_listener(route, gateway));
    }
    let hosts = || named.iter().flat_map(|server| &server.hosts);
    if !hosts().any(|host| host.namespace.as_ref().is_none_or(|only| only == own)) {
        let message = format!(
            "Gateway {namespace}/{name} takes no routes of namespace {own} there; from: All in \
             its listener's allowedRoutes.namespaces lets them in"
        );
        return no("NotAllowedByListeners", message);
    }
    if !named.iter().any(|server| server.admits(own, &route.hosts)) {
        let message = format!(
            "Gateway {namespace}/{name} takes requests for {} there, and the route is for {}",
            list(hosts().map(|host| host.name.clone())),
            list(route.hosts.iter().cloned())
        );
        return no("NoMatchingListenerHostname", message);
    }
    None
}

fn no_such_listener(route: &TrafficRoute, gateway: &Gateway) -> String {
    let wanted = route.attached.iter().find_map(|place| match place {
        mesh_model::Attachment::Listeners { section, port, .. } => Some((section.as_deref(), port)),
        _ => None,
    });
    let (section, port) = wanted.unwrap_or((None, &None));
    let hint = section.map_or_else(String::new, |section| {
        did_you_mean(section, gateway.servers.iter().map(|server| server.name.as_str()))
    });
    let section = section.map_or_else(String::new, |section| format!(" \"{section}\""));
    let port = port.map_or_else(String::new, |port| format!(" on port {port}"));
    let known = gateway.servers.iter().map(|server| format!("{} ({})", server.name, server.port));
    let ServiceName { name, namespace } = &gateway.name;
    format!(
        "Gateway {namespace}/{name} has no listener{section}{port}{hint}; there are {}",
        list(known)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Surroundings, parse};

    const GATEWAY: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\n\
        metadata: {name: edge, namespace: shop}\nspec:\n  gatewayClassName: mesh\n  listeners:\n  \
        - {name: open, port: 80, protocol: HTTP, hostname: '*.a.com', \
        allowedRoutes: {namespaces: {from: All}}}\n  \
        - {name: own, port: 81, protocol: HTTP}\n";

    /// The reason and the message, for the second of two parents.
    fn found(namespace: &str, parent: &str, rest: &str) -> Option<(&'static str, String)> {
        let route = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
             metadata: {{name: r, namespace: {namespace}}}\nspec: {{parentRefs: [{{name: other}}, \
             {{name: edge, namespace: shop{parent}}}], rules: [{{backendRefs: [{{name: a, port: \
             1}}]}}]{rest}}}\n"
        );
        let text = format!("{GATEWAY}---\n{route}");
        let rules = parse("", &text, Surroundings::default()).unwrap();
        let mut found = not_taken(&rules[1], &gateways(rules.iter()));
        assert!(!found.contains_key(&0), "{found:?}");
        found.remove(&1).map(|NotTaken { reason, message }| (reason, message))
    }

    #[test]
    fn a_listener_must_be_named_open_and_for_one_of_the_hostnames() {
        let for_b = ", hostnames: [b.com]";
        for (namespace, parent, rest) in [
            ("shop", "", ""),
            ("shop", "", for_b),
            ("bank", "", ", hostnames: [b.com, x.a.com]"),
            ("bank", ", sectionName: open, port: 80", ""),
        ] {
            assert_eq!(found(namespace, parent, rest), None, "{namespace} {parent} {rest}");
        }
        for (namespace, parent, rest, reason, message) in [
            (
                "shop",
                ", sectionName: opn",
                "",
                "NoMatchingParent",
                "has no listener \"opn\"; did you mean \"open\"?; there are open (80), own (81)",
            ),
            ("shop", ", port: 82", "", "NoMatchingParent", "has no listener on port 82; there"),
            ("shop", ", sectionName: own, port: 80", "", "NoMatchingParent", "\"own\" on port 80"),
            (
                "bank",
                ", sectionName: own",
                "",
                "NotAllowedByListeners",
                "takes no routes of namespace bank there",
            ),
            (
                "bank",
                "",
                for_b,
                "NoMatchingListenerHostname",
                "takes requests for *.a.com, * there, and the route is for b.com",
            ),
        ] {
            let found = found(namespace, parent, rest).expect(parent);
            assert_eq!(found.0, reason, "{parent}: {found:?}");
            assert!(found.1.contains(message), "{parent}: {found:?}");
        }
    }
}
