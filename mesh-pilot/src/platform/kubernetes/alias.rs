//! Services of type `ExternalName`: names in DNS that stand for others.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ServiceSpec;
use mesh_model::{Alias, ServiceName};

/// So many names in a row CoreDNS follows; behind more of them, or in a circle, nobody is found.
const HOPS: usize = 8;

/// An alias, and what it stands for, which need not exist and may be an alias itself.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) struct DeclaredAlias {
    pub(in super::super) alias: Alias,
    target: ServiceName,
}

/// `None` for a name outside of the cluster: what is sent there passes the mesh by. Ports are
/// not looked at, as in Istio: an alias has those of its service.
pub(super) fn declared_alias(
    name: ServiceName,
    spec: &ServiceSpec,
    cluster_domain: &str,
) -> Option<DeclaredAlias> {
    let external = spec.external_name.as_deref().unwrap_or_default().to_ascii_lowercase();
    let external = external.strip_suffix('.').unwrap_or(&external);
    let target = ServiceName::parse(external, "", cluster_domain)?;
    // No search list completes what a CNAME names.
    let is_whole = target.hostname(cluster_domain) == external;
    let alias = Alias { hostname: name.hostname(cluster_domain), name };
    is_whole.then_some(DeclaredAlias { alias, target })
}

/// The aliases of each service.
#[derive(Debug, Default)]
pub(in super::super) struct Aliases {
    of: BTreeMap<ServiceName, Vec<Alias>>,
}

impl Aliases {
    pub(in super::super) fn new<'a>(declared: impl IntoIterator<Item = &'a DeclaredAlias>) -> Self {
        let by_name: BTreeMap<_, _> =
            declared.into_iter().map(|declared| (&declared.alias.name, declared)).collect();
        let mut of: BTreeMap<ServiceName, Vec<Alias>> = BTreeMap::new();
        for declared in by_name.values() {
            if let Some(service) = end(declared, &by_name) {
                of.entry(service.clone()).or_default().push(declared.alias.clone());
            }
        }
        Self { of }
    }

    /// In a fixed order.
    pub(super) fn of(&self, service: &ServiceName) -> &[Alias] {
        self.of.get(service).map_or(&[], Vec::as_slice)
    }

    /// The services that have other aliases in `other`.
    pub(in super::super) fn differing<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = &'a ServiceName> {
        let names = self.of.keys().chain(other.of.keys());
        names.filter(|name| self.of(name) != other.of(name))
    }
}

/// What is at the end of a chain of aliases.
fn end<'a>(
    first: &'a DeclaredAlias,
    by_name: &BTreeMap<&ServiceName, &'a DeclaredAlias>,
) -> Option<&'a ServiceName> {
    let mut target = &first.target;
    for _ in 0..HOPS {
        match by_name.get(target) {
            None => return Some(target),
            Some(next) => target = &next.target,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(name: &str) -> ServiceName {
        ServiceName { name: name.to_owned(), namespace: "shop".to_owned() }
    }

    fn declared(own: &str, external: &str) -> Option<DeclaredAlias> {
        let spec = ServiceSpec { external_name: Some(external.to_owned()), ..Default::default() };
        declared_alias(name(own), &spec, "cluster.local")
    }

    #[test]
    fn only_a_whole_name_of_the_cluster_is_a_service() {
        for external in ["b.shop.svc.cluster.local", "B.shop.svc.cluster.local."] {
            let alias = declared("a", external).unwrap();
            assert_eq!(alias.target, name("b"), "{external}");
            assert_eq!(alias.alias.hostname, "a.shop.svc.cluster.local");
        }
        let others = ["b", "b.shop", "b.shop.svc", "example.com", "", ".", ".svc.cluster.local"];
        for external in others.into_iter().chain(["b-0.b.shop.svc.cluster.local"]) {
            assert_eq!(declared("a", external), None, "{external:?}");
        }
    }

    /// The names of the aliases of `service`.
    fn aliases(declared: &[(&str, &str)], service: &str) -> Vec<String> {
        let external = |target: &str| format!("{target}.shop.svc.cluster.local");
        let declared: Vec<_> = declared
            .iter()
            .filter_map(|(own, target)| super::tests::declared(own, &external(target)))
            .collect();
        let aliases = Aliases::new(&declared);
        aliases.of(&name(service)).iter().map(|alias| alias.name.name.clone()).collect()
    }

    #[test]
    fn chains_end_at_a_service_and_circles_nowhere() {
        assert_eq!(aliases(&[("b", "a"), ("a", "cart"), ("z", "x")], "cart"), ["a", "b"]);
        assert_eq!(aliases(&[("b", "a"), ("a", "cart")], "a"), [""; 0]);
        for circle in [&[("a", "a")][..], &[("a", "b"), ("b", "a")], &[("c", "a"), ("a", "a")]] {
            for service in ["a", "b"] {
                assert_eq!(aliases(circle, service), [""; 0], "{circle:?}");
            }
        }
    }

    #[test]
    fn a_chain_is_followed_as_far_as_dns_does() {
        let names: Vec<String> = (0..=9).map(|number| format!("n{number}")).collect();
        let chain: Vec<_> = names.windows(2).map(|pair| (&*pair[0], &*pair[1])).collect();
        let found = aliases(&chain, "n9");
        assert_eq!(found, names[1..9], "the first is nine names away");
    }
}
