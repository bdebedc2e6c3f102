//! What comes before what.

use serde_json::Value;

use crate::chart::Rendered;
use crate::kinds::{self, KINDS};
use crate::object::label;

/// A step of an installation; what a step needs was made by those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    /// The namespace, and what the API server must know of the rules' kinds.
    Ground,
    /// The pilots, with all that they need.
    Pilot,
    /// What needs pilots to become ready.
    Gateway,
    /// What would refuse everybody while no pilot answers.
    Webhook,
}

impl Step {
    fn of(object: &Value) -> Self {
        match object["kind"].as_str().unwrap_or_default() {
            kinds::NAMESPACE | kinds::DEFINITION => Self::Ground,
            kinds::MUTATING | kinds::VALIDATING => Self::Webhook,
            _ if label(object, "app.kubernetes.io/component") == Some("gateway") => Self::Gateway,
            _ => Self::Pilot,
        }
    }
}

/// The objects of a step, in the order of their kinds.
pub(crate) fn of_step(objects: &[Rendered], step: Step) -> Vec<&Value> {
    let rank = |object: &&Value| KINDS.iter().position(|kind| object["kind"] == kind.kind);
    let objects = objects.iter().map(|rendered| &rendered.object);
    let mut objects: Vec<_> = objects.filter(|object| Step::of(object) == step).collect();
    objects.sort_by_key(rank);
    objects
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ObjectName;
    use crate::chart::{NAMESPACE, Release, render};

    #[test]
    fn every_object_of_the_chart_has_its_place() {
        let values = serde_json::json!({"createNamespace": true});
        let release = Release { namespace: NAMESPACE.to_owned(), values: vec![values] };
        let objects = render(&release).unwrap();
        let steps = [Step::Ground, Step::Pilot, Step::Gateway, Step::Webhook];
        let ordered: Vec<_> = steps.iter().flat_map(|step| of_step(&objects, *step)).collect();
        assert_eq!(ordered.len(), objects.len());
        for object in &ordered {
            let name = ObjectName::of(object);
            let kind =
                kinds::find(&name.kind).unwrap_or_else(|| panic!("{name}: not in the table"));
            let api_version = match kind.group {
                "" => kind.version.to_owned(),
                group => format!("{group}/{}", kind.version),
            };
            assert_eq!(object["apiVersion"], api_version, "{name}");
            assert_eq!(name.namespace.is_some(), kind.is_namespaced, "{name}");
        }
        assert_eq!(ObjectName::of(ordered[0]).kind, "Namespace");
        assert!(ordered[ordered.len() - 2]["kind"].as_str().unwrap().ends_with("Configuration"));
    }
}
