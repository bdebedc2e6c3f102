//! How workloads take connections.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::{Labels, ServiceName};

/// Which connections a workload takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MtlsMode {
    /// Plain ones; TLS is the application's own.
    Disable,
    /// Plain ones, and those with mutual TLS of the mesh. Istio's default, and ours.
    #[default]
    Permissive,
    /// Only those with mutual TLS of the mesh.
    Strict,
}

/// Istio's `PeerAuthentication`, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAuthentication {
    /// The rule it was made from.
    pub name: ServiceName,
    /// Whom it is for.
    pub scope: Scope,
    /// `None`: that of the next wider scope.
    pub mode: Option<MtlsMode>,
    /// Of the workload's ports, not the services'; `None`: as the workload's other ports.
    /// Empty unless the scope is `Workloads`.
    pub ports: BTreeMap<u16, Option<MtlsMode>>,
}

/// Whom a `PeerAuthentication` is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Every workload.
    Mesh,
    /// Those of the rule's namespace.
    Namespace,
    /// Those of the rule's namespace that have these labels, at least one.
    Workloads(Labels),
}

/// What is in force for one workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundMtls {
    /// For every port that is not in `ports`.
    pub mode: MtlsMode,
    /// For some of the workload's ports.
    pub ports: BTreeMap<u16, MtlsMode>,
}

impl InboundMtls {
    /// The mode of a port of the workload.
    pub fn on(&self, port: u16) -> MtlsMode {
        self.ports.get(&port).copied().unwrap_or(self.mode)
    }
}

/// `PeerAuthentication`s by scope. Where two are for one scope, the first counts.
#[derive(Debug, Default)]
pub(crate) struct ByScope {
    mesh: Option<Arc<PeerAuthentication>>,
    namespaces: HashMap<String, Arc<PeerAuthentication>>,
    workloads: HashMap<String, Vec<Arc<PeerAuthentication>>>,
}

impl ByScope {
    pub(crate) fn new(rules: &[Arc<PeerAuthentication>]) -> Self {
        let mut by_scope = Self::default();
        for rule in rules {
            let namespace = rule.name.namespace.clone();
            match rule.scope {
                Scope::Mesh => {
                    by_scope.mesh.get_or_insert_with(|| Arc::clone(rule));
                }
                Scope::Namespace => {
                    by_scope.namespaces.entry(namespace).or_insert_with(|| Arc::clone(rule));
                }
                Scope::Workloads(_) => {
                    by_scope.workloads.entry(namespace).or_default().push(Arc::clone(rule));
                }
            }
        }
        by_scope
    }

    /// What is in force for a workload; `default` where no rule says anything. Istio's
    /// order: of the rules for this workload the first, then that of its namespace, then
    /// that of the mesh; each takes what it leaves open from the next.
    pub(crate) fn effective(
        &self,
        namespace: &str,
        labels: &Labels,
        default: MtlsMode,
    ) -> InboundMtls {
        let mut own = self.workloads.get(namespace).into_iter().flatten();
        let own = own.find(|rule| match &rule.scope {
            Scope::Workloads(selector) => crate::workload::has_labels(labels, selector),
            Scope::Mesh | Scope::Namespace => false,
        });
        let wider = [self.namespaces.get(namespace), self.mesh.as_ref()];
        let mut modes = [own].into_iter().chain(wider).flatten().map(|rule| rule.mode);
        let mode = modes.find_map(|mode| mode).unwrap_or(default);
        let ports = own.into_iter().flat_map(|rule| &rule.ports);
        let ports = ports.map(|(port, own)| (*port, own.unwrap_or(mode))).collect();
        InboundMtls { mode, ports }
    }
}

#[cfg(test)]
mod tests {
    use super::MtlsMode::{Disable, Permissive, Strict};
    use super::*;

    fn rule(name: &str, scope: Scope, mode: Option<MtlsMode>) -> PeerAuthentication {
        let name = ServiceName { name: name.into(), namespace: "shop".into() };
        PeerAuthentication { name, scope, mode, ports: BTreeMap::new() }
    }

    fn app(name: &str) -> Labels {
        Labels::from([("app".into(), name.into())])
    }

    fn effective(rules: &[PeerAuthentication], namespace: &str, labels: &Labels) -> InboundMtls {
        let rules: Vec<_> = rules.iter().cloned().map(Arc::new).collect();
        ByScope::new(&rules).effective(namespace, labels, Permissive)
    }

    #[test]
    fn the_narrower_scope_counts() {
        let mesh = rule("mesh", Scope::Mesh, Some(Strict));
        let namespace = rule("namespace", Scope::Namespace, Some(Disable));
        let workload = rule("workload", Scope::Workloads(app("cart")), Some(Permissive));
        let all = [workload, mesh, namespace];
        assert_eq!(effective(&all, "shop", &app("cart")).mode, Permissive);
        assert_eq!(effective(&all, "shop", &app("other")).mode, Disable);
        assert_eq!(effective(&all, "elsewhere", &app("cart")).mode, Strict);
        assert_eq!(effective(&[], "shop", &app("cart")).mode, Permissive, "Istio's default");
    }

    #[test]
    fn what_is_unset_comes_from_the_wider_scope() {
        let mut workload = rule("workload", Scope::Workloads(app("cart")), None);
        workload.ports = BTreeMap::from([(80, Some(Disable)), (81, None)]);
        let namespace = rule("namespace", Scope::Namespace, None);
        let mesh = rule("mesh", Scope::Mesh, Some(Strict));
        let found = effective(&[workload.clone(), namespace.clone(), mesh], "shop", &app("cart"));
        let modes = [80, 81, 82].map(|port| found.on(port));
        assert_eq!(modes, [Disable, Strict, Strict]);
        let found = effective(&[workload, namespace], "shop", &app("cart"));
        assert_eq!([80, 81, 82].map(|port| found.on(port)), [Disable, Permissive, Permissive]);
    }

    #[test]
    fn of_several_for_one_workload_the_first_counts_alone() {
        let mut first = rule("a", Scope::Workloads(app("cart")), None);
        first.ports.insert(80, Some(Strict));
        let mut second = rule("b", Scope::Workloads(app("cart")), Some(Disable));
        second.ports.insert(81, Some(Strict));
        let found = effective(&[first, second], "shop", &app("cart"));
        assert_eq!(found.mode, Permissive, "not the second's");
        assert_eq!(found.ports, BTreeMap::from([(80, Strict)]));
    }
}
