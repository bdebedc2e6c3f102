//! What `meshctl route` does: from what there is and what is wanted, the resources to
//! apply and to remove. Pure; the command line reads and writes.
//!
//! A resource made here carries the label [`MANAGED_BY`]. In a user's own resource only the
//! default route changes, and what it was is kept in the annotation [`PREVIOUS_ROUTE`], so
//! that `delete` can put it back.

mod delete;
mod get;
mod resources;
mod set;
mod weights;

use crate::RuleKey;

pub use delete::delete;
pub use get::{Row, get};
pub use set::set;
pub use weights::{Weight, parse_weights};

/// The label of resources that were made here, whose value is `meshctl`.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// In a user's `VirtualService`: its default route as it was, as JSON; `null`: it had none.
pub const PREVIOUS_ROUTE: &str = "meshctl/previous-route";

/// The kinds of the rules that plans are made from and consist of.
pub const KINDS: [&str; 2] = ["DestinationRule", "VirtualService"];

const MESHCTL: &str = "meshctl";

/// A service, as far as a route needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownService {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// `reviews.default.svc.cluster.local`.
    pub hostname: String,
    /// The values of its pods' label `version`.
    pub versions: Vec<String>,
    /// Other full names by which clients call it, which rules do not name.
    pub aliases: Vec<String>,
}

impl KnownService {
    /// The end of its full name, `cluster.local`; empty when that is not one.
    pub fn cluster_domain(&self) -> &str {
        let prefix = format!("{}.{}.svc.", self.name, self.namespace);
        self.hostname.strip_prefix(&prefix).unwrap_or_default()
    }
}

/// A rule that exists, as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingRule {
    /// Its kind, namespace and name.
    pub key: RuleKey,
    /// One YAML document.
    pub yaml: String,
}

/// What to do; all or none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Documents to apply, in one text, first.
    pub apply: Vec<ExistingRule>,
    /// Rules to remove, in this order, after that.
    pub delete: Vec<RuleKey>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No such service.
    #[error("there is no service \"{name}\"{hint}; there are {known}")]
    UnknownService {
        /// What was asked for.
        name: String,
        /// The nearest, in words; may be empty.
        hint: String,
        /// Those that there are.
        known: String,
    },
    /// It is another name of a service.
    #[error(
        "{name} is another name (ExternalName) of {service}, whose routes it has; name that one"
    )]
    Alias {
        /// What was asked for.
        name: String,
        /// The service.
        service: String,
    },
    /// No such version.
    #[error("{service} has no version \"{version}\"{hint}; its pods have {known}")]
    UnknownVersion {
        /// The service.
        service: String,
        /// What was asked for.
        version: String,
        /// The nearest, in words; may be empty.
        hint: String,
        /// The versions that its pods have.
        known: String,
    },
    /// The weights make no sense.
    #[error("{0}")]
    Weights(String),
    /// There is nothing to delete.
    #[error("{0}")]
    NothingToDelete(String),
    /// A rule in the way.
    #[error("{key}: {reason}")]
    InTheWay {
        /// The rule.
        key: RuleKey,
        /// Why it cannot be changed, and what to do.
        reason: String,
    },
}

/// The service that `name` names: `reviews`, `reviews.default` or the full name. A short one
/// is taken in `namespace`.
pub fn find_service<'a>(
    name: &str,
    namespace: &str,
    services: &'a [KnownService],
) -> Result<&'a KnownService, RouteError> {
    let found = services.iter().find(|service| {
        let qualified = format!("{}.{}", service.name, service.namespace);
        (service.name == name && service.namespace == namespace)
            || qualified == name
            || format!("{qualified}.svc") == name
            || service.hostname == name
    });
    found.ok_or_else(|| {
        let is_behind = |service: &&KnownService| {
            let full = mesh_model::fqdn(name, namespace, service.cluster_domain());
            service.aliases.contains(&full)
        };
        if let Some(service) = services.iter().find(is_behind) {
            let service = service.hostname.clone();
            return RouteError::Alias { name: name.to_owned(), service };
        }
        let names: Vec<String> = services
            .iter()
            .map(|service| match service.namespace == namespace {
                true => service.name.clone(),
                false => format!("{}.{}", service.name, service.namespace),
            })
            .collect();
        let hint = crate::nearest::did_you_mean(name, names.iter().map(String::as_str));
        let known = crate::check::list(names.into_iter());
        RouteError::UnknownService { name: name.to_owned(), hint, known }
    })
}

#[cfg(test)]
mod tests;
