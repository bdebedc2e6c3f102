//! What users write: Istio's rules and the Gateway API's, parsed, checked and turned into the model.
//!
//! A text becomes [`Document`]s, each of which becomes a [`Rule`] or a list of
//! [`Problem`]s; [`check`] holds rules against the services that there are. Nothing is
//! skipped silently: a field that we do not honour is refused by name.

mod check;
pub mod crd;
mod document;
pub mod gateway_api;
pub mod istio;
mod kinds;
mod nearest;
mod problem;
pub mod route;
mod rule;
mod surroundings;

pub use check::{Refusal, check};
pub use document::{Document, documents};
pub use kinds::{KINDS, RuleKind};
pub use nearest::nearest;
pub use problem::{Problem, RuleKey};
pub use rule::{KUBERNETES_GATEWAY, Meaning, Rule, is_rule, parse, rule};
pub use surroundings::Surroundings;
