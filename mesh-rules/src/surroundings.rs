//! What a rule is read in.

/// The namespace of a control plane that nobody has put elsewhere.
const ROOT: &str = "mesh-system";
/// The usual one of Istio's installations, so that their files mean here what they mean there.
const ISTIOS_ROOT: &str = "istio-system";

/// What a rule need not say itself, and what its namespace means. By default that of a mesh of
/// which nothing is known.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Taken for a rule that names no namespace.
    pub namespace: &'a str,
    /// The end of services' full names.
    pub cluster_domain: &'a str,
    /// The control plane's own namespace.
    pub root_namespace: &'a str,
}

impl Default for Surroundings<'_> {
    fn default() -> Self {
        Self { namespace: "default", cluster_domain: "cluster.local", root_namespace: ROOT }
    }
}

impl Surroundings<'_> {
    /// Whether rules without a selector are, there, for the whole mesh (Istio's
    /// `rootNamespace`).
    pub(crate) fn is_root(&self, namespace: &str) -> bool {
        [self.root_namespace, ISTIOS_ROOT].contains(&namespace)
    }
}
