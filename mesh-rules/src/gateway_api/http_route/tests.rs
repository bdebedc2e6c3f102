use std::sync::Arc;

use mesh_model::{Protocol, Service, ServiceName, ServicePort, TargetPort};

use crate::{Problem, Rule, Surroundings, check, parse};

fn read(text: &str) -> Result<Vec<Rule>, Vec<Problem>> {
    parse("x.yaml", text, Surroundings::default())
}

fn route(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n\
         metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
    )
}

const PARENT: &str = "parentRefs: [{group: '', kind: Service, name: reviews}]";
const BACKEND: &str = "backendRefs: [{name: reviews, port: 9080}]";

#[test]
fn names_what_it_does_not_honour() {
    let rule = |rest: &str| format!("{PARENT}, rules: [{{{BACKEND}, {rest}}}]");
    let matches = |matcher: &str| rule(&format!("matches: [{{{matcher}}}]"));
    let filter = |filter: &str| rule(&format!("filters: [{{{filter}}}]"));
    for (spec, path, message) in [
        (rule("retry: {}"), "rules[0].retry", "not supported yet"),
        (
            matches("queryParams: [{type: RegularExpression, name: a, value: '(b'}]"),
            "rules[0].matches[0].queryParams[0].value",
            "unclosed group",
        ),
        (
            matches("path: {type: RegularExpression, value: '/a(.*'}"),
            "rules[0].matches[0].path.value",
            "unclosed group",
        ),
        (
            matches("path: {type: Glob, value: /a*}"),
            "rules[0].matches[0].path.type",
            "\"Glob\" is not supported yet; there are PathPrefix, Exact and RegularExpression",
        ),
        (matches("path: {value: a}"), "rules[0].matches[0].path.value", "\"a\" is no path"),
        (
            matches("headers: [{type: Suffix, name: a, value: b}]"),
            "rules[0].matches[0].headers[0].type",
            "there are Exact and RegularExpression",
        ),
        (
            filter("type: RequestMirror, requestMirror: {}"),
            "rules[0].filters[0].requestMirror",
            "not supported yet",
        ),
        (filter("type: CORS"), "rules[0].filters[0].type", "\"CORS\" is not supported yet"),
        (filter("type: URLRewrite"), "rules[0].filters[0].urlRewrite", "it is missing"),
        (
            filter(
                "type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /a}}",
            ),
            "rules[0].filters[0].urlRewrite.path.replaceFullPath",
            "match by Exact alone",
        ),
        (
            format!("{PARENT}, rules: [{{backendRefs: [{{name: a, port: 1, filters: []}}]}}]"),
            "rules[0].backendRefs[0].filters",
            "not supported yet",
        ),
        (
            format!("{PARENT}, rules: [{{backendRefs: [{{name: a}}]}}]"),
            "rules[0].backendRefs[0].port",
            "it is missing",
        ),
        (
            format!("{PARENT}, rules: [{{backendRefs: [{{kind: Queue, name: a, port: 1}}]}}]"),
            "rules[0].backendRefs[0].kind",
            "\"Queue\" is not supported yet",
        ),
        (format!("{PARENT}, rules: [{{}}]"), "rules[0].backendRefs", "there is no backend"),
        (rule("timeouts: {request: soon}"), "rules[0].timeouts.request", "write it like 10s"),
        (
            rule("timeouts: {request: 1s, backendRequest: 2s}"),
            "rules[0].timeouts.backendRequest",
            "not be longer",
        ),
        (
            format!("parentRefs: [{{kind: Mesh, name: a}}], rules: [{{{BACKEND}}}]"),
            "parentRefs[0].kind",
            "\"Mesh\" of group",
        ),
        (format!("rules: [{{{BACKEND}}}]"), "parentRefs", "it is empty"),
        (format!("{PARENT}, hostnames: ['*'], rules: [{{{BACKEND}}}]"), "hostnames[0]", "no name"),
    ] {
        let problem = read(&route("a", "default", &spec)).expect_err(&spec)[0].to_string();
        assert!(problem.starts_with(&format!("x.yaml: spec.{path}: ")), "{spec}: {problem}");
        assert!(problem.contains(message), "{spec}: {problem}");
    }
}

fn service(name: &str, namespace: &str) -> Arc<Service> {
    let name = ServiceName { name: name.into(), namespace: namespace.into() };
    let port = ServicePort {
        name: "http".into(),
        number: 9080,
        target: TargetPort::Number(9080),
        protocol: Protocol::Http,
    };
    Arc::new(Service {
        hostname: name.hostname("cluster.local"),
        name,
        addresses: Vec::new(),
        aliases: Vec::new(),
        headless: false,
        ports: vec![port],
        endpoints: Vec::new(),
    })
}

/// What is wrong with rules in a mesh with `reviews` in two namespaces.
fn refused(rules: &[String]) -> Vec<String> {
    let rules = read(&rules.join("---\n")).unwrap();
    let services = [service("reviews", "default"), service("reviews", "shop")];
    let refusals = check(&rules.iter().collect::<Vec<_>>(), &services);
    refusals.into_iter().map(|refusal| refusal.problem.to_string()).collect()
}

#[test]
fn is_held_against_the_mesh() {
    let simple = format!("{PARENT}, rules: [{{{BACKEND}}}]");
    for (spec, expected) in [
        (simple.clone(), None),
        (
            simple.replace("name: reviews}]", "name: revews}]"),
            Some("spec.parentRefs[0]: there is no"),
        ),
        (
            simple.replace("kind: Service, name", "kind: Service, port: 80, name"),
            Some("spec.parentRefs[0].port: reviews.default.svc.cluster.local has no port 80"),
        ),
        (
            simple.replace("9080", "80"),
            Some("spec.rules[0].backendRefs[0].port: reviews.default.svc.cluster.local has no"),
        ),
        // Of a gateway that is not there, or not ours, nothing is said.
        (format!("parentRefs: [{{name: any}}], rules: [{{{BACKEND}}}]"), None),
    ] {
        let found = refused(&[route("a", "default", &spec)]);
        match expected {
            None => assert!(found.is_empty(), "{spec}: {found:?}"),
            Some(expected) => {
                assert!(found.len() == 1 && found[0].contains(expected), "{spec}: {found:?}");
            }
        }
    }
}

#[test]
fn other_namespaces_must_grant_it() {
    let to_shop = format!(
        "{PARENT}, rules: [{{backendRefs: [{{name: reviews, namespace: shop, port: 9080}}]}}]"
    );
    let to_shop = route("a", "default", &to_shop);
    let grant = |namespace: &str, from: &str, to: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n\
             metadata: {{name: g, namespace: {namespace}}}\nspec: {{from: [{{group: \
             gateway.networking.k8s.io, kind: HTTPRoute, namespace: {from}}}], \
             to: [{{group: '', kind: Service{to}}}]}}\n"
        )
    };
    let alone = refused(std::slice::from_ref(&to_shop));
    let message = "spec.rules[0].backendRefs[0]: service reviews is in namespace shop, where no \
                   ReferenceGrant permits an HTTPRoute of default";
    assert!(alone.len() == 1 && alone[0].contains(message), "{alone:?}");
    for (namespace, from, to, granted) in [
        ("shop", "default", "", true),
        ("shop", "default", ", name: reviews", true),
        ("shop", "default", ", name: other", false),
        ("shop", "bank", "", false),
        ("default", "default", "", false),
    ] {
        let found = refused(&[to_shop.clone(), grant(namespace, from, to)]);
        assert_eq!(found.is_empty(), granted, "{namespace} {from}{to}: {found:?}");
    }
}

#[test]
fn a_service_has_rules_of_one_kind() {
    let own = route("a", "default", &format!("{PARENT}, rules: [{{{BACKEND}}}]"));
    let other = own.replace("name: a", "name: b");
    assert!(refused(&[own.clone(), other]).is_empty(), "they are merged");
    let istios = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v}\n\
                  spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}\n"
        .to_owned();
    let found = refused(&[own.clone(), istios.clone()]);
    let expected = "spec.hosts[0]: reviews.default.svc.cluster.local already has the HTTPRoute \
                    default/a";
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
    let found = refused(&[istios, own.clone()]);
    let expected = "spec.parentRefs[0]: reviews.default.svc.cluster.local already has the \
                    VirtualService default/v";
    assert!(found.len() == 1 && found[0].contains(expected), "{found:?}");
}

#[test]
fn gateways_of_other_classes_are_somebody_elses() {
    let gateway = |class: &str, listener: &str| {
        let text = format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: g}}\n\
             spec: {{gatewayClassName: {class}, listeners: [{listener}]}}\n"
        );
        read(&text)
    };
    let rules = gateway("other", "{unknown: 1}").unwrap();
    assert_eq!(rules[0].meaning, crate::Meaning::Foreign);
    assert_eq!(rules[0].key.to_string(), "KubernetesGateway default/g");
    let http = "name: a, port: 80, protocol: HTTP";
    assert!(gateway("mesh", &format!("{{{http}}}")).is_ok());
    for (listener, path, message) in [
        (
            "name: a, port: 443, protocol: HTTPS".to_owned(),
            "protocol",
            "\"HTTPS\" is not supported",
        ),
        (format!("{http}, tls: {{}}"), "tls", "not supported yet"),
        (format!("{http}, hostname: 'a.*'"), "hostname", "is no name"),
        (
            format!("{http}, allowedRoutes: {{namespaces: {{from: Selector}}}}"),
            "allowedRoutes.namespaces.from",
            "there are Same and All",
        ),
        (
            format!("{http}, allowedRoutes: {{kinds: [{{kind: TCPRoute}}]}}"),
            "allowedRoutes.kinds[0]",
            "\"TCPRoute\" is not supported yet",
        ),
    ] {
        let problem =
            gateway("mesh", &format!("{{{listener}}}")).expect_err(&listener)[0].to_string();
        let expected = format!("x.yaml: spec.listeners[0].{path}: ");
        assert!(problem.starts_with(&expected), "{listener}: {problem}");
        assert!(problem.contains(message), "{listener}: {problem}");
    }
}
