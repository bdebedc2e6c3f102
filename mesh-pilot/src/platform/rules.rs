//! Which rules are in force.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mesh_model::Service;
use mesh_rules::{Meaning, Problem, Refusal, Rule, RuleKey, check};

use super::StoredRule;

/// The rules in force, each in the last version that checked.
#[derive(Clone, Default)]
pub(super) struct Rules {
    in_force: BTreeMap<RuleKey, Rule>,
}

/// A rule as it is written now, and as it was last in force.
struct Candidate {
    written: Rule,
    last_good: Option<Rule>,
    /// The written version was refused.
    fallen_back: bool,
}

impl Candidate {
    fn effective(&self) -> Option<&Rule> {
        if self.fallen_back { self.last_good.as_ref() } else { Some(&self.written) }
    }
}

impl Rules {
    /// By kind, namespace and name.
    pub(super) fn in_force(&self) -> impl Iterator<Item = &Rule> {
        self.in_force.values()
    }

    /// One of them.
    pub(super) fn get(&self, key: &RuleKey) -> Option<&Rule> {
        self.in_force.get(key)
    }

    /// Those that are the mesh's, as they were written.
    pub(super) fn stored(&self) -> Vec<StoredRule> {
        let stored = |rule: &Rule| StoredRule { key: rule.key.clone(), yaml: rule.yaml.clone() };
        let ours = self.in_force().filter(|rule| rule.meaning != Meaning::Foreign);
        ours.map(stored).collect()
    }

    /// Puts `written` in force: the rules as they are written now, all of them. One that
    /// does not check against the others and `services` keeps its last good version, or none.
    /// Returns what was refused.
    ///
    /// A rule that was in force and is unchanged stays, even when what it names has gone.
    pub(super) fn take(&mut self, written: Vec<Rule>, services: &[Arc<Service>]) -> Vec<Problem> {
        let mut candidates: Vec<Candidate> = written
            .into_iter()
            .map(|written| {
                let last_good = self.in_force.get(&written.key).cloned();
                Candidate { written, last_good, fallen_back: false }
            })
            .collect();
        // Of two rules for one host the earlier one counts: that which is in force.
        candidates.sort_by_cached_key(|c| (c.last_good.is_none(), c.written.key.clone()));

        let mut problems = BTreeSet::new();
        loop {
            let (positions, rules): (Vec<usize>, Vec<&Rule>) = candidates
                .iter()
                .enumerate()
                .filter_map(|(position, candidate)| Some((position, candidate.effective()?)))
                .unzip();
            let refused: BTreeSet<usize> = check(&rules, services)
                .into_iter()
                .map(|Refusal { rule, problem }| {
                    problems.insert(problem);
                    positions[rule]
                })
                .filter(|position| {
                    let candidate = &candidates[*position];
                    let unchanged = candidate
                        .last_good
                        .as_ref()
                        .is_some_and(|good| good.meaning == candidate.written.meaning);
                    !candidate.fallen_back && !unchanged
                })
                .collect();
            if refused.is_empty() {
                break;
            }
            for position in refused {
                candidates[position].fallen_back = true;
            }
        }
        let in_force = candidates.into_iter().filter_map(|candidate| {
            let Candidate { written, last_good, fallen_back } = candidate;
            if fallen_back { last_good } else { Some(written) }
        });
        self.in_force = in_force.map(|rule| (rule.key.clone(), rule)).collect();
        problems.into_iter().collect()
    }

    /// What would be refused, and is not so today, if `applied` came and `deleted` went.
    pub(super) fn would_refuse(
        &self,
        applied: &[Rule],
        deleted: Option<&RuleKey>,
        services: &[Arc<Service>],
    ) -> Vec<Problem> {
        let today: Vec<&Rule> = self.in_force().collect();
        let known: BTreeSet<_> = refusals(&today, services).into_iter().collect();

        let replaced = |key: &RuleKey| applied.iter().find(|rule| rule.key == *key);
        let mut rules: Vec<&Rule> = self
            .in_force()
            .filter(|rule| Some(&rule.key) != deleted)
            .map(|rule| replaced(&rule.key).unwrap_or(rule))
            .collect();
        rules.extend(applied.iter().filter(|rule| !self.in_force.contains_key(&rule.key)));
        let refusals = refusals(&rules, services).into_iter();
        let new = refusals.filter(|(key, problem)| {
            replaced(key).is_some() || !known.contains(&(key.clone(), problem.clone()))
        });
        new.map(|(key, mut problem)| {
            if replaced(&key).is_none() {
                problem.source = format!("{key}, which stays ({})", problem.source);
            }
            problem
        })
        .collect()
    }
}

fn refusals(rules: &[&Rule], services: &[Arc<Service>]) -> Vec<(RuleKey, Problem)> {
    let refusals = check(rules, services).into_iter();
    refusals.map(|refusal| (rules[refusal.rule].key.clone(), refusal.problem)).collect()
}
