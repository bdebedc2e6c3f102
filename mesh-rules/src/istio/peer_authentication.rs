//! `PeerAuthentication`: the type, and its meaning.

use std::collections::BTreeMap;

use mesh_model::{MtlsMode, Scope, ServiceName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Findings, Resource};
use crate::{Problem, Surroundings};

/// Istio's `PeerAuthentication.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PeerAuthenticationSpec {
    /// Only these workloads of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<WorkloadSelector>,
    /// For all ports.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<MutualTls>,
    /// For some ports of the workload; needs a selector.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub port_level_mtls: BTreeMap<String, MutualTls>,
}

/// Istio's `WorkloadSelector`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WorkloadSelector {
    /// Labels that the workload has, all of them; none: every workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
}

/// Istio's `MutualTLS`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MutualTls {
    /// `UNSET`, `DISABLE`, `PERMISSIVE`, `STRICT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
}

/// What a `PeerAuthentication` means, or all that is wrong with it by itself.
pub(crate) fn peer_authentication(
    source: &str,
    resource: &Resource<PeerAuthenticationSpec>,
    name: ServiceName,
    surroundings: Surroundings<'_>,
) -> Result<mesh_model::PeerAuthentication, Vec<Problem>> {
    let spec = &resource.spec;
    let mut findings = Findings::new(source);
    let is_root = surroundings.is_root(&name.namespace);
    let scope = scope(&mut findings, spec, &name.namespace, is_root);
    let mode = mode(&mut findings, "spec.mtls.mode", spec.mtls.as_ref());
    if !spec.port_level_mtls.is_empty() && !matches!(scope, Scope::Workloads(_)) {
        let message = "it needs a selector: ports are those of particular workloads";
        findings.add("spec.portLevelMtls", message);
    }
    let mut ports = BTreeMap::new();
    for (number, mtls) in &spec.port_level_mtls {
        let path = format!("spec.portLevelMtls.{number}");
        let mode = self::mode(&mut findings, &format!("{path}.mode"), Some(mtls));
        match number.parse::<u16>() {
            Ok(port) if port > 0 => {
                ports.insert(port, mode);
            }
            _ => findings.add(path, format!("\"{number}\" is no port; expected 1 to 65535")),
        }
    }
    findings.finish(mesh_model::PeerAuthentication { name, scope, mode, ports })
}

fn scope(
    findings: &mut Findings<'_>,
    spec: &PeerAuthenticationSpec,
    namespace: &str,
    is_root: bool,
) -> Scope {
    let selector = spec.selector.as_ref().map(|selector| &selector.match_labels);
    let Some(labels) = selector.filter(|labels| !labels.is_empty()) else {
        return if is_root { Scope::Mesh } else { Scope::Namespace };
    };
    if is_root {
        let message = format!(
            "a rule of {namespace} is for the whole mesh, and one with a selector is for nobody, \
             in Istio too; put it into the workloads' namespace"
        );
        findings.add("spec.selector", message);
    }
    for (key, value) in labels {
        let path = format!("spec.selector.matchLabels.{key}");
        if key.is_empty() {
            findings.add(&path, "the label has no name");
        }
        if key.contains('*') || value.contains('*') {
            findings.add(path, "wildcards are not supported, in Istio neither");
        }
    }
    Scope::Workloads(labels.clone())
}

fn mode(findings: &mut Findings<'_>, path: &str, mtls: Option<&MutualTls>) -> Option<MtlsMode> {
    match mtls?.mode.as_deref()? {
        "UNSET" => None,
        "DISABLE" => Some(MtlsMode::Disable),
        "PERMISSIVE" => Some(MtlsMode::Permissive),
        "STRICT" => Some(MtlsMode::Strict),
        other => {
            let message =
                format!("\"{other}\" is no mode; there are UNSET, DISABLE, PERMISSIVE and STRICT");
            findings.add(path, message);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Meaning, Rule, check, parse};

    fn text(name: &str, namespace: &str, spec: &str) -> String {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
             metadata: {{name: {name}, namespace: {namespace}}}\nspec: {{{spec}}}\n"
        )
    }

    fn read(text: &str) -> Result<Vec<Rule>, Vec<Problem>> {
        parse("x.yaml", text, Surroundings::default())
    }

    fn meaning(namespace: &str, spec: &str) -> mesh_model::PeerAuthentication {
        let rules = read(&text("a", namespace, spec)).expect(spec);
        let Meaning::PeerAuthentication(rule) = &rules[0].meaning else { panic!("{rules:?}") };
        rule.clone()
    }

    #[test]
    fn the_namespace_and_the_selector_make_the_scope() {
        let strict = "mtls: {mode: STRICT}";
        for (namespace, scope) in [
            ("mesh-system", Scope::Mesh),
            ("istio-system", Scope::Mesh),
            ("default", Scope::Namespace),
        ] {
            let found = meaning(namespace, strict);
            assert_eq!((found.scope, found.mode), (scope, Some(MtlsMode::Strict)), "{namespace}");
        }
        let found = meaning(
            "shop",
            "selector: {matchLabels: {app: cart}}, mtls: {mode: UNSET}, \
             portLevelMtls: {8080: {mode: DISABLE}, 8081: {}}",
        );
        assert_eq!(found.scope, Scope::Workloads([("app".into(), "cart".into())].into()));
        assert_eq!(found.mode, None);
        assert_eq!(found.ports, [(8080, Some(MtlsMode::Disable)), (8081, None)].into());
        assert_eq!(meaning("shop", "selector: {}").scope, Scope::Namespace);
    }

    #[test]
    fn the_control_planes_own_namespace_is_the_root_wherever_it_is() {
        let surroundings = Surroundings { root_namespace: "foo", ..Surroundings::default() };
        let scope = |namespace: &str| {
            let rules = parse("x.yaml", &text("a", namespace, ""), surroundings).unwrap();
            let Meaning::PeerAuthentication(rule) = &rules[0].meaning else { panic!("{rules:?}") };
            rule.scope.clone()
        };
        assert_eq!(["foo", "istio-system"].map(scope), [Scope::Mesh, Scope::Mesh]);
        assert_eq!(scope("mesh-system"), Scope::Namespace, "one as any other");
    }

    #[test]
    fn names_what_is_wrong() {
        let selector = "selector: {matchLabels: {app: cart}}";
        for (namespace, spec, path, message) in [
            ("default", "mtls: {mode: strict}", "spec.mtls.mode", "\"strict\" is no mode"),
            ("default", "mtls: STRICT", "spec.mtls", "invalid type"),
            ("default", "mtl: {}", "spec.mtl", "did you mean \"mtls\"?"),
            (
                "default",
                "portLevelMtls: {80: {mode: STRICT}}",
                "spec.portLevelMtls",
                "it needs a selector",
            ),
            (
                "default",
                &format!("{selector}, portLevelMtls: {{http: {{mode: STRICT}}}}"),
                "spec.portLevelMtls.http",
                "\"http\" is no port",
            ),
            (
                "default",
                "selector: {matchLabels: {app: '*'}}",
                "spec.selector.matchLabels.app",
                "wildcards",
            ),
            ("mesh-system", selector, "spec.selector", "is for the whole mesh"),
        ] {
            let problems = read(&text("a", namespace, spec)).expect_err(spec);
            let problem = problems[0].to_string();
            assert!(problem.starts_with(&format!("x.yaml: {path}: ")), "{spec}: {problem}");
            assert!(problem.contains(message), "{spec}: {problem}");
        }
        let old =
            text("a", "default", "").replace("security.istio.io/v1", "networking.istio.io/v1");
        let problem = read(&old).unwrap_err()[0].to_string();
        assert!(problem.contains("expected one of security.istio.io/v1"), "{problem}");
    }

    #[test]
    fn one_scope_has_one_rule() {
        let refused = |first: (&str, &str), second: (&str, &str)| {
            let rules = [text("a", first.0, first.1), text("b", second.0, second.1)].join("---\n");
            let rules = read(&rules).unwrap();
            let refusals = check(&rules.iter().collect::<Vec<_>>(), &[]);
            refusals.iter().map(|refusal| refusal.problem.message.clone()).collect::<Vec<_>>()
        };
        let cart = "selector: {matchLabels: {app: cart}}";
        for (namespace, other, spec, scope) in [
            ("mesh-system", "istio-system", "", "the mesh"),
            ("default", "default", "", "namespace default"),
            ("default", "default", cart, "app=cart in namespace default"),
        ] {
            let found = refused((namespace, spec), (other, spec));
            let expected = format!("{scope} already has the PeerAuthentication {namespace}/a");
            assert!(found.len() == 1 && found[0].starts_with(&expected), "{found:?}");
        }
        assert!(refused(("default", ""), ("shop", "")).is_empty());
        assert!(refused(("default", ""), ("default", cart)).is_empty());
    }
}
