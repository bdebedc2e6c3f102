//! The rules as they are written now, of all kinds.

use std::collections::{BTreeMap, BTreeSet};

use mesh_rules::{KINDS, Meaning, Problem, Rule, RuleKey};
use serde_json::Value;

use super::rule::ReadRule;
use super::status::Shown;
use crate::cluster::{Delta, ObjectName};

/// By kind, namespace and name.
#[derive(Default)]
pub(super) struct Written {
    rules: BTreeMap<RuleKey, One>,
    /// Kinds of which all rules have been seen.
    complete: BTreeSet<&'static str>,
}

/// A rule.
struct One {
    stored: Stored,
    /// The last version that could be read.
    good: Option<Rule>,
    /// Of the version that is written.
    problems: Vec<Problem>,
}

/// Which version of which rule it is that the API server keeps, and what it says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) uid: String,
    pub(super) generation: i64,
    pub(super) api_version: String,
    pub(super) shown: Option<Shown>,
    /// Somebody else says what becomes of it.
    pub(super) foreign: bool,
    /// Of an `HTTPRoute`: its `parentRefs`.
    pub(super) parents: Vec<Value>,
    /// Of an `HTTPRoute`: what its status says of parents of ours.
    pub(super) told: Vec<Value>,
}

impl Written {
    /// Kinds of which the rules have not been seen.
    pub(super) fn missing(&self) -> impl Iterator<Item = &'static str> {
        let kinds = KINDS.iter().map(|kind| kind.key);
        kinds.filter(|kind| !self.complete.contains(kind))
    }

    /// Those that could be read, in the last version that could.
    pub(super) fn good(&self) -> Vec<Rule> {
        self.rules.values().filter_map(|one| one.good.clone()).collect()
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.rules.values().flat_map(|one| &one.problems)
    }

    /// What the API server keeps, with what is wrong with it in itself.
    pub(super) fn stored(&self) -> impl Iterator<Item = (&RuleKey, &Stored, &[Problem])> {
        self.rules.iter().map(|(key, one)| (key, &one.stored, one.problems.as_slice()))
    }

    pub(super) fn take(&mut self, kind: &'static str, delta: Delta<Box<ReadRule>>) {
        let key = |ObjectName { name, namespace }: ObjectName| RuleKey {
            kind: kind.to_owned(),
            namespace,
            name,
        };
        match delta {
            Delta::Set(_, read) => self.set(*read),
            Delta::Gone(name) => {
                self.rules.remove(&key(name));
            }
            Delta::All(all) => {
                self.complete.insert(kind);
                self.rules.retain(|known, _| {
                    let RuleKey { namespace, name, .. } = known.clone();
                    known.kind != kind || all.contains_key(&ObjectName { name, namespace })
                });
                all.into_values().for_each(|read| self.set(*read));
            }
        }
    }

    fn set(&mut self, read: ReadRule) {
        let ReadRule { key, uid, generation, api_version, shown, parents, told, rule } = read;
        let former = self.rules.remove(&key).filter(|former| former.stored.uid == uid);
        let (good, problems) = match rule {
            Ok(rule) => (Some(rule), Vec::new()),
            // As with files: what was right stays in force.
            Err(problems) => (former.and_then(|former| former.good), problems),
        };
        let foreign = good.as_ref().is_some_and(|rule| rule.meaning == Meaning::Foreign);
        let stored = Stored { uid, generation, api_version, shown, foreign, parents, told };
        self.rules.insert(key, One { stored, good, problems });
    }
}
