//! What users write: Istio's rules, parsed, checked and turned into the model.

mod problem;

pub use problem::{Problem, RuleKey};
