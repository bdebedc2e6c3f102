//! A container's environment: values, the downward API, and `$(NAME)` in both and in the
//! command line.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::manifest::EnvVar;

/// What the downward API can tell of a pod.
#[derive(Debug)]
pub(crate) struct Downward<'a> {
    pub(crate) name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) service_account: &'a str,
    pub(crate) ip: Ipv4Addr,
    pub(crate) host_ip: Ipv4Addr,
    pub(crate) node: &'a str,
    pub(crate) uid: &'a str,
    pub(crate) labels: &'a BTreeMap<String, String>,
    pub(crate) annotations: &'a BTreeMap<String, String>,
}

impl Downward<'_> {
    /// One field, or nothing when there is none of this path.
    pub(crate) fn field(&self, path: &str) -> Option<String> {
        let keyed = |prefix: &str| path.strip_prefix(prefix)?.strip_suffix("']");
        if let Some(name) = keyed("metadata.labels['") {
            return Some(self.labels.get(name).cloned().unwrap_or_default());
        }
        if let Some(name) = keyed("metadata.annotations['") {
            return Some(self.annotations.get(name).cloned().unwrap_or_default());
        }
        Some(match path {
            "metadata.name" => self.name.to_owned(),
            "metadata.namespace" => self.namespace.to_owned(),
            "metadata.uid" => self.uid.to_owned(),
            "spec.nodeName" => self.node.to_owned(),
            "spec.serviceAccountName" => self.service_account.to_owned(),
            "status.podIP" | "status.podIPs" => self.ip.to_string(),
            "status.hostIP" | "status.hostIPs" => self.host_ip.to_string(),
            _ => return None,
        })
    }
}

/// Every variable with its value, in order. Fields that are not there were refused when the
/// pod was planned, and are empty here.
pub(crate) fn resolve(env: &[EnvVar], downward: &Downward<'_>) -> Vec<(String, String)> {
    let mut resolved: Vec<(String, String)> = Vec::new();
    for variable in env {
        let field = variable.value_from.as_ref().and_then(|from| from.field_ref.as_ref());
        let value = match field {
            Some(field) => downward.field(&field.field_path).unwrap_or_default(),
            None => expand(variable.value.as_deref().unwrap_or_default(), &resolved),
        };
        resolved.push((variable.name.clone(), value));
    }
    resolved
}

/// Replaces `$(NAME)`; `$$` is a dollar, and a name that is not known stays as it is, as in
/// Kubernetes.
pub(crate) fn expand(text: &str, env: &[(String, String)]) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$$") {
            out.push('$');
            rest = after;
            continue;
        }
        let name = rest.strip_prefix("$(").and_then(|inner| inner.split_once(')'));
        match name.and_then(|(name, after)| Some((lookup(env, name)?, after))) {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => {
                out.push('$');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

fn lookup<'a>(env: &'a [(String, String)], name: &str) -> Option<&'a str> {
    env.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_replaced_and_unknown_ones_stay() {
        let env = [("A".to_owned(), "1".to_owned()), ("A".to_owned(), "2".to_owned())];
        assert_eq!(expand("x$(A)y$(B)$$(A)$", &env), "x2y$(B)$(A)$");
        assert_eq!(expand("$(A", &env), "$(A");
    }

    #[test]
    fn values_come_from_the_pod_and_from_earlier_variables() {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let downward = Downward {
            name: "web-0",
            namespace: "shop",
            service_account: "cart",
            ip: Ipv4Addr::new(10, 244, 0, 9),
            host_ip: Ipv4Addr::new(10, 244, 0, 1),
            node: "n",
            uid: "u",
            labels: &labels,
            annotations: &BTreeMap::new(),
        };
        let env: Vec<EnvVar> = serde_json::from_value(serde_json::json!([
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "URL", "value": "http://$(IP)/$(APP)"},
        ]))
        .unwrap();
        let resolved = resolve(&env, &downward);
        assert_eq!(resolved[2].1, "http://10.244.0.9/web");
        assert_eq!(downward.field("spec.serviceAccountName").as_deref(), Some("cart"));
        assert_eq!(downward.field("status.nothing"), None);
    }
}
