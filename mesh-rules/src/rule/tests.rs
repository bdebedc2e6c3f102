use std::sync::Arc;

use mesh_model::{Alias, Protocol, Service, ServicePort, TargetPort};

use super::*;
use crate::{Surroundings, check};

fn read(text: &str) -> Result<Vec<Rule>, Vec<Problem>> {
    parse("x.yaml", text, Surroundings::default())
}

fn virtual_service(http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: reviews}}\n\
         spec:\n  hosts: [reviews]\n  http:\n  - {http}\n"
    )
}

fn refused(text: &str) -> String {
    let problems = read(text).expect_err(text);
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn names_each_field_that_it_does_not_honour() {
    let route = "route: [{destination: {host: reviews}}]";
    for (http, path, message) in [
        (format!("{{{route}, mirror: {{host: x}}}}"), "spec.http[0].mirror", "not supported yet"),
        (format!("{{{route}, timeuot: 1s}}"), "spec.http[0].timeuot", "did you mean \"timeout\"?"),
        (
            format!("{{{route}, zzz: 1s}}"),
            "spec.http[0].zzz",
            "no such field; there are name, match",
        ),
        (
            format!("{{{route}, match: [{{headers: {{a: {{regex: '(b'}}}}}}]}}"),
            "spec.http[0].match[0].headers.a.regex",
            "unclosed group",
        ),
        (
            "{route: [{destination: {host: reviews}, weight: \"50\"}]}".to_owned(),
            "spec.http[0].route[0].weight",
            "invalid type: string \"50\"",
        ),
        ("{route: [{destination: {}}]}".to_owned(), "spec.http[0].route[0].destination", "`host`"),
        ("{name: a}".to_owned(), "spec.http[0].route", "no destination"),
        (format!("{{{route}, timeout: 10}}"), "spec.http[0].timeout", "expected a string"),
        (format!("{{{route}, timeout: soon}}"), "spec.http[0].timeout", "write it like 10s"),
        (format!("{{{route}, rewrite: {{}}}}"), "spec.http[0].rewrite", "write uri or authority"),
        (
            format!("{{{route}, retries: {{retryOn: 'gateway-error,moon'}}}}"),
            "spec.http[0].retries.retryOn",
            "\"moon\" is not supported",
        ),
        (
            format!("{{{route}, headers: {{request: {{sett: {{}}}}}}}}"),
            "spec.http[0].headers.request.sett",
            "did you mean \"set\"?",
        ),
        (
            format!("{{{route}, redirect: {{uri: /x}}}}"),
            "spec.http[0]",
            "route and redirect exclude each other",
        ),
    ] {
        let text = refused(&virtual_service(&http));
        assert!(text.starts_with(&format!("x.yaml: {path}: ")), "{http}: {text}");
        assert!(text.contains(message), "{http}: {text}");
    }
}

#[test]
fn refuses_other_kinds_and_names() {
    for (text, expected) in [
        ("{apiVersion: networking.istio.io/v1, kind: Sidecar}", "Sidecar (networking.istio.io/v1)"),
        ("{kind: VirtualService}", "apiVersion"),
        ("{a: b}", "no apiVersion and kind"),
        ("# nothing", "nothing in it"),
        ("a: [", "not YAML"),
        (
            "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: ../x}, \
             spec: {host: a}}",
            "metadata.name: \"../x\" is no name",
        ),
        (
            "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: x, \
             namespace: a.b}, spec: {host: a}}",
            "metadata.namespace: \"a.b\" is no namespace",
        ),
    ] {
        let problems = refused(text);
        assert!(problems.contains(expected), "{text}: {problems}");
    }
}

#[test]
fn a_policys_ports_are_those_of_the_service() {
    let policy = |ports: &str, subset: &str| {
        read(&format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: r}}\n\
             spec:\n  host: reviews\n  trafficPolicy: {{portLevelSettings: [{ports}]}}\n\
             \x20 subsets: [{{name: v1, trafficPolicy: {{portLevelSettings: [{subset}]}}}}]\n"
        ))
    };
    let good = "{port: {number: 9080}, tls: {mode: DISABLE}, loadBalancer: {simple: RANDOM}}";
    let rules = policy(good, "").unwrap();
    let Meaning::Policy(found) = &rules[0].meaning else { panic!("{rules:?}") };
    assert_eq!(found.settings(None, 9080).tls, Some(mesh_model::ClientTls::Disable));
    assert_eq!(check(&rules.iter().collect::<Vec<_>>(), &reviews()), []);

    let rules = policy("{port: {number: 80}}", "{port: {number: 81}}").unwrap();
    let refusals = check(&rules.iter().collect::<Vec<_>>(), &reviews());
    let paths: Vec<_> = refusals.iter().map(|refusal| refusal.problem.path.as_str()).collect();
    let subset = "spec.subsets[0].trafficPolicy.portLevelSettings";
    assert_eq!(paths, ["spec.trafficPolicy.portLevelSettings", subset]);

    let twice = policy(&format!("{good}, {good}"), "").unwrap_err()[0].to_string();
    assert!(twice.contains("portLevelSettings[1].port.number: 9080 is there twice"), "{twice}");
    let unknown = "{port: {number: 9080}, outlierDetection: {}}";
    let unknown = policy("", unknown).unwrap_err()[0].to_string();
    assert!(unknown.contains("portLevelSettings[0].outlierDetection"), "{unknown}");
    assert!(unknown.contains("not supported yet"), "{unknown}");
}

#[test]
fn subsets_have_names_that_can_be_asked_for() {
    let named = |name: &str| {
        read(&format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: r}}\n\
             spec: {{host: reviews, subsets: [{{name: \"{name}\"}}]}}\n"
        ))
    };
    for name in ["v1", "1.10", "Blue_2-x", &"a".repeat(62)] {
        assert!(named(name).is_ok(), "{name}");
    }
    for name in ["", "v 1", "-v1", "v1.", "v1/2", "a..b", &"a".repeat(63)] {
        let problem = named(name).expect_err(name)[0].to_string();
        assert!(problem.contains("spec.subsets[0].name: "), "{problem}");
        assert!(problem.contains("is no name of a subset"), "{problem}");
    }
}

#[test]
fn weights_are_as_in_istio() {
    let weights = |route: &str| {
        let rules = read(&virtual_service(&format!("{{route: {route}}}")))
            .map_err(|problems| problems[0].to_string())?;
        let Meaning::Route(route) = &rules[0].meaning else { panic!("{rules:?}") };
        let mesh_model::Action::Forward { destinations, .. } = &route.http[0].action else {
            panic!("{route:?}")
        };
        Ok::<_, String>(destinations.iter().map(|d| d.weight).collect::<Vec<_>>())
    };
    let to = |weight: &str| format!("{{destination: {{host: reviews}}{weight}}}");
    assert_eq!(weights(&format!("[{}]", to(""))), Ok(vec![100]));
    assert_eq!(weights(&format!("[{}]", to(", weight: 0"))), Ok(vec![100]));
    assert_eq!(weights(&format!("[{},{}]", to(", weight: 1"), to(""))), Ok(vec![1, 0]));
    let zero = weights(&format!("[{},{}]", to(", weight: 0"), to(""))).unwrap_err();
    assert!(zero.contains("spec.http[0].route: the weights add up to 0"), "{zero}");
    let negative = weights(&format!("[{},{}]", to(", weight: -1"), to(""))).unwrap_err();
    assert!(negative.contains("route[0].weight: -1 is no share"), "{negative}");
    let big = to(", weight: 4294967295");
    let huge = weights(&format!("[{big},{big}]")).unwrap_err();
    assert!(huge.contains("at most 4294967295"), "{huge}");
}

#[test]
fn routes_of_gateways() {
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: edge}\n\
                   spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: \
                   ['*']}]}\n---\n";
    let route = |spec: &str, rest: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: r}}\n\
             spec: {{{spec}, http: [{{route: [{{destination: {{host: reviews}}}}]{rest}}}]}}\n"
        )
    };
    for (spec, rest, expected) in [
        ("hosts: ['*'], gateways: [edge]", "", ""),
        ("hosts: ['*'], gateways: [default/edge]", "", ""),
        ("hosts: ['*.a.com', reviews], gateways: [mesh, edge]", "", ""),
        ("hosts: [a.com], gateways: [edge]", ", match: [{gateways: [edge]}]", ""),
        ("hosts: [a.com], gateways: [mesh]", "", "spec.hosts[0]: there is no service a.com"),
        (
            "hosts: [old-reviews], gateways: [mesh, edge]",
            "",
            "spec.hosts[0]: old-reviews.default.svc.cluster.local is another name",
        ),
        ("hosts: ['*'], gateways: [mesh]", "", "wildcards are for gateways"),
        ("hosts: ['a.*'], gateways: [edge]", "", "\"a.*\" is no name"),
        ("hosts: ['*'], gateways: [a/b/c]", "", "spec.gateways[0]: \"a/b/c\" is no gateway"),
        ("hosts: ['*'], gateways: [edge, edge]", "", "spec.gateways[1]: \"edge\" is named twice"),
        (
            "hosts: ['*'], gateways: [edgy]",
            "",
            "spec.gateways[0]: there is no Gateway default/edgy; did you mean \"edge\"?",
        ),
        (
            "hosts: ['*'], gateways: [edge]",
            ", match: [{gateways: [mesh]}]",
            "spec.http[0].match[0].gateways[0]: it is not one of the rule's own",
        ),
    ] {
        let text = format!("{gateway}{}", route(spec, rest));
        let found = match read(&text) {
            Ok(rules) => check(&rules.iter().collect::<Vec<_>>(), &reviews())
                .into_iter()
                .map(|refusal| refusal.problem)
                .collect(),
            Err(problems) => problems,
        };
        let found: String = found.iter().map(ToString::to_string).collect();
        assert!(found.contains(expected), "{spec}{rest}: {found}");
        assert_eq!(found.is_empty(), expected.is_empty(), "{spec}{rest}: {found}");
    }
}

fn reviews() -> Vec<Arc<Service>> {
    let name = ServiceName { name: "reviews".into(), namespace: "default".into() };
    let port = ServicePort {
        name: "http".into(),
        number: 9080,
        target: TargetPort::Number(9080),
        protocol: Protocol::Http,
    };
    let alias = ServiceName { name: "old-reviews".into(), namespace: "default".into() };
    let alias = Alias { hostname: alias.hostname("cluster.local"), name: alias };
    vec![Arc::new(Service {
        hostname: name.hostname("cluster.local"),
        name,
        addresses: Vec::new(),
        aliases: vec![alias],
        headless: false,
        ports: vec![port],
        endpoints: Vec::new(),
    })]
}

#[test]
fn holds_rules_against_the_mesh() {
    let subsets = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: r}\n\
                   spec: {host: reviews, subsets: [{name: v1}, {name: v3}]}\n---\n";
    let to = |rest: &str| virtual_service(&format!("{{route: [{{destination: {rest}}}]}}"));
    let other = to("{host: reviews}").replace("name: reviews", "name: zzz");
    for (text, expected) in [
        (format!("{subsets}{}", to("{host: reviews, subset: v3}")), None),
        (
            format!("{subsets}{}", to("{host: reviews, subset: v4}")),
            Some("destination.subset: there is no subset \"v4\"; did you mean"),
        ),
        (to("{host: reviews, subset: v1}"), Some("has no DestinationRule; apply one")),
        (
            to("{host: reviewz}"),
            Some("spec.http[0].route[0].destination.host: there is no service reviewz.default"),
        ),
        (
            to("{host: old-reviews}"),
            Some(
                "destination.host: old-reviews.default.svc.cluster.local is another name \
                 (ExternalName) of reviews.default.svc.cluster.local and has no rules of its own",
            ),
        ),
        (to("{host: reviews, port: {number: 80}}"), Some("has no port 80; it has 9080")),
        (
            format!("{}---\n{other}", to("{host: reviews}")),
            Some("already has the VirtualService default/reviews"),
        ),
    ] {
        let rules = read(&text).unwrap();
        let refusals = check(&rules.iter().collect::<Vec<_>>(), &reviews());
        match expected {
            None => assert_eq!(refusals, []),
            Some(expected) => {
                let [refusal] = refusals.as_slice() else { panic!("{text}: {refusals:?}") };
                assert!(refusal.problem.to_string().contains(expected), "{}", refusal.problem);
            }
        }
    }
}
