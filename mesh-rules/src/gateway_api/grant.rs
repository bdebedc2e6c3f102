//! `ReferenceGrant`: the type, and its meaning.

use mesh_model::ServiceName;
use serde::{Deserialize, Serialize};

use super::GROUP;
use crate::istio::Resource;

/// The Gateway API's `ReferenceGrant.spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceGrantSpec {
    /// Who may refer.
    #[serde(default)]
    pub from: Vec<GrantFrom>,
    /// To what, in the grant's namespace.
    #[serde(default)]
    pub to: Vec<GrantTo>,
}

/// The Gateway API's `ReferenceGrantFrom`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantFrom {
    /// The group of those who refer.
    pub group: String,
    /// Their kind.
    pub kind: String,
    /// Their namespace.
    pub namespace: String,
}

/// The Gateway API's `ReferenceGrantTo`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantTo {
    /// The group of what is referred to; empty: Kubernetes' own.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name; none: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// That routes of some namespaces may lead to services of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The rule it was made from, whose namespace the services are in.
    pub name: ServiceName,
    /// The routes' namespaces.
    pub from: Vec<String>,
    /// The services' names; `None`: any.
    pub to: Vec<Option<String>>,
}

impl Grant {
    /// Whether a route of `namespace` may lead to `service`.
    pub fn permits(&self, namespace: &str, service: &ServiceName) -> bool {
        self.name.namespace == service.namespace
            && self.from.iter().any(|from| from == namespace)
            && self.to.iter().any(|to| to.as_ref().is_none_or(|name| *name == service.name))
    }
}

/// What a `ReferenceGrant` means for the mesh. What it grants to others is none of our business.
pub(crate) fn grant(resource: &Resource<ReferenceGrantSpec>, name: ServiceName) -> Grant {
    let ReferenceGrantSpec { from, to } = &resource.spec;
    let from = from.iter().filter(|from| from.group == GROUP && from.kind == "HTTPRoute");
    let to = to.iter().filter(|to| to.group.is_empty() && to.kind == "Service");
    Grant {
        name,
        from: from.map(|from| from.namespace.clone()).collect(),
        to: to.map(|to| to.name.clone()).collect(),
    }
}
