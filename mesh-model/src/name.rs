//! The names of services: short, per namespace, and fully qualified.

/// A service's name and namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceName {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
}

impl ServiceName {
    /// The service that `host` names, when it is a name within the mesh: `reviews`,
    /// `reviews.default`, `reviews.default.svc` or the full name. A short one is taken in
    /// `namespace`. `None` for names of other domains.
    pub fn parse(host: &str, namespace: &str, cluster_domain: &str) -> Option<Self> {
        let host = host
            .strip_suffix(cluster_domain)
            .and_then(|rest| rest.strip_suffix(".svc."))
            .or_else(|| host.strip_suffix(".svc"))
            .unwrap_or(host);
        let mut labels = host.split('.');
        let name = labels.next().filter(|label| !label.is_empty())?;
        let namespace = labels.next().unwrap_or(namespace);
        if namespace.is_empty() || labels.next().is_some() {
            return None;
        }
        Some(Self { name: name.to_owned(), namespace: namespace.to_owned() })
    }

    /// `reviews.default.svc.cluster.local`.
    pub fn hostname(&self, cluster_domain: &str) -> String {
        format!("{}.{}.svc.{cluster_domain}", self.name, self.namespace)
    }
}

/// The fully qualified name of `host` as written in a rule of `namespace`.
///
/// Istio's rule: a name without a dot is a service of the rule's own namespace, any other
/// is taken as it stands. We also complete `reviews.default` and `reviews.default.svc`,
/// which the cluster's DNS completes too; other names, wildcards among them, stay.
pub fn fqdn(host: &str, namespace: &str, cluster_domain: &str) -> String {
    match ServiceName::parse(host, namespace, cluster_domain) {
        Some(service) if !host.contains('*') => service.hostname(cluster_domain),
        _ => host.to_owned(),
    }
}

/// The names under which a client in `client_namespace` reaches a service, without the
/// fully qualified one: what the search list of a pod's DNS configuration completes.
pub fn short_names(service: &ServiceName, client_namespace: &str) -> Vec<String> {
    let ServiceName { name, namespace } = service;
    let mut names = Vec::with_capacity(3);
    if namespace == client_namespace {
        names.push(name.clone());
    }
    names.push(format!("{name}.{namespace}"));
    names.push(format!("{name}.{namespace}.svc"));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completes_names_of_the_mesh_and_leaves_others() {
        let full = "reviews.default.svc.cluster.local";
        for host in ["reviews", "reviews.default", "reviews.default.svc", full] {
            assert_eq!(fqdn(host, "default", "cluster.local"), full, "{host}");
        }
        assert_eq!(fqdn("reviews", "shop", "cluster.local"), "reviews.shop.svc.cluster.local");
        for host in ["api.example.com", "*.default", "a..b", ""] {
            assert_eq!(fqdn(host, "default", "cluster.local"), host);
        }
    }

    #[test]
    fn the_bare_name_is_for_its_own_namespace() {
        let reviews = ServiceName { name: "reviews".into(), namespace: "default".into() };
        assert_eq!(
            short_names(&reviews, "default"),
            ["reviews", "reviews.default", "reviews.default.svc"]
        );
        assert_eq!(short_names(&reviews, "shop"), ["reviews.default", "reviews.default.svc"]);
    }
}
