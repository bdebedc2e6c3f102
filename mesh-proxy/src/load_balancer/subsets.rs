//! Subsets of a cluster's endpoints, by their metadata.

use std::collections::{BTreeMap, BTreeSet};

use super::{Choice, Picked, Priorities};
use crate::config::{
    AssignmentPolicy, Labels, LoadBalancing, Name, SubsetFallback, SubsetSelector,
    Subsets as Settings,
};
use crate::endpoint::Member;

/// The endpoints of a cluster by subset, prepared for choosing.
#[derive(Debug)]
pub(crate) struct Subsets {
    selected: Vec<Selected>,
    /// `default_subset`, if anybody falls back to it.
    default: Option<Priorities>,
}

/// The subsets by the keys of one selector.
#[derive(Debug)]
struct Selected {
    keys: BTreeSet<Name>,
    by_values: BTreeMap<Vec<Name>, Priorities>,
}

/// How a choice came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// From the subset that was asked for.
    Selected,
    /// From what there is otherwise.
    Fallback,
    /// There is nothing otherwise: from all endpoints.
    Panic,
}

impl Subsets {
    /// Takes over the turns of `old`.
    pub(super) fn new(
        members: &[Member],
        lb: &LoadBalancing,
        settings: &Settings,
        policy: &AssignmentPolicy,
        old: Option<&Self>,
    ) -> Self {
        let lb =
            LoadBalancing { by_locality: lb.by_locality && settings.by_locality, ..lb.clone() };
        let selected = settings.selectors.iter().map(|selector| {
            let mut found: BTreeMap<Vec<Name>, Vec<&Member>> = BTreeMap::new();
            for member in members {
                let labels = &member.config.lb_labels;
                let values = selector.keys.iter().map(|key| labels.get(key).cloned());
                if let Some(values) = values.collect() {
                    found.entry(values).or_default().push(member);
                }
            }
            let old = old.and_then(|old| old.of_keys(&selector.keys));
            let prepared = found.into_iter().map(|(values, mut members)| {
                if selector.single_host {
                    members.truncate(1);
                }
                let old = old.and_then(|old| old.by_values.get(&values));
                let prepared = Priorities::new(members.into_iter(), &lb, policy, old);
                (values, prepared)
            });
            Selected { keys: selector.keys.clone(), by_values: prepared.collect() }
        });
        let default = settings.uses_default().then(|| {
            let members = members.iter().filter(|member| {
                let labels = &member.config.lb_labels;
                settings.default.iter().all(|(key, value)| labels.get(key) == Some(value))
            });
            let old = old.and_then(|old| old.default.as_ref());
            Priorities::new(members, &lb, policy, old)
        });
        Self { selected: selected.collect(), default }
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        self.selected.iter().map(|selected| selected.by_values.len() as u64).sum()
    }

    /// Of all endpoints, `all`.
    pub(super) fn pick<'h>(
        &'h self,
        all: &'h Priorities,
        lb: &LoadBalancing,
        settings: &Settings,
        choice: &Choice<'_>,
    ) -> (Picked<'h>, Way) {
        let wanted = choice.subset.filter(|wanted| !wanted.is_empty());
        if let Some(picked) = wanted.and_then(|wanted| self.pick_from(wanted, lb, choice)) {
            return (picked, Way::Selected);
        }
        let selector = wanted.and_then(|wanted| settings.selector(wanted.keys()));
        let picked = match selector.map(|selector| (selector, selector.fallback)) {
            Some((selector, Some(SubsetFallback::Keys))) => {
                let fewer = selector.fewer(wanted);
                let choice = Choice { subset: Some(&fewer), ..*choice };
                // The keys get fewer each time.
                return self.pick(all, lb, settings, &choice);
            }
            Some((_, Some(fallback))) => self.fall_back(fallback, all, lb, choice),
            _ => self.fall_back(settings.fallback, all, lb, choice),
        };
        match picked {
            Some(picked) => (picked, Way::Fallback),
            None if settings.panic_any => (all.pick(lb, choice), Way::Panic),
            None => (Picked::default(), Way::Fallback),
        }
    }

    fn fall_back<'h>(
        &'h self,
        fallback: SubsetFallback,
        all: &'h Priorities,
        lb: &LoadBalancing,
        choice: &Choice<'_>,
    ) -> Option<Picked<'h>> {
        let picked = match fallback {
            SubsetFallback::Nobody | SubsetFallback::Keys => return None,
            SubsetFallback::Anybody => all.pick(lb, choice),
            SubsetFallback::Default => self.default.as_ref()?.pick(lb, choice),
        };
        picked.endpoint.is_some().then_some(picked)
    }

    fn pick_from<'h>(
        &'h self,
        wanted: &Labels,
        lb: &LoadBalancing,
        choice: &Choice<'_>,
    ) -> Option<Picked<'h>> {
        let mut selected = self.selected.iter();
        let selected = selected.find(|selected| selected.keys.iter().eq(wanted.keys()))?;
        let values: Vec<_> = wanted.values().cloned().collect();
        let picked = selected.by_values.get(&values)?.pick(lb, choice);
        picked.endpoint.is_some().then_some(picked)
    }

    fn of_keys(&self, keys: &BTreeSet<Name>) -> Option<&Selected> {
        self.selected.iter().find(|selected| selected.keys == *keys)
    }
}

impl SubsetSelector {
    /// What is left of what was wanted for `fallback_keys_subset`.
    fn fewer(&self, wanted: Option<&Labels>) -> Labels {
        let wanted = wanted.into_iter().flatten();
        let kept = wanted.filter(|(key, _)| self.fallback_keys.contains(*key));
        kept.map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{self, LbPolicy};
    use crate::endpoint::Endpoint;

    fn labels(labels: &[(&str, &str)]) -> Labels {
        labels.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    }

    fn member(port: u16, own: &[(&str, &str)]) -> Member {
        let at = config::Endpoint::at(([127, 0, 0, 1], port).into());
        let config = config::Endpoint { lb_labels: labels(own), ..at };
        Member { endpoint: Arc::new(Endpoint::new(config.address, None, None)), config }
    }

    fn selector(keys: &[&str], fallback: Option<SubsetFallback>, fewer: &[&str]) -> SubsetSelector {
        let names = |keys: &[&str]| keys.iter().map(|key| (*key).into()).collect();
        SubsetSelector {
            keys: names(keys),
            single_host: false,
            fallback,
            fallback_keys: names(fewer),
        }
    }

    fn settings(fallback: SubsetFallback) -> Settings {
        Settings {
            selectors: vec![
                selector(&["v"], None, &[]),
                selector(&["v", "stage"], Some(SubsetFallback::Keys), &["v"]),
            ],
            fallback,
            default: labels(&[("stage", "prod")]),
            by_locality: false,
            panic_any: false,
        }
    }

    fn picked(settings: &Settings, wanted: &[(&str, &str)]) -> (Option<u16>, Way) {
        let members = [
            member(1, &[("v", "1"), ("stage", "prod")]),
            member(2, &[("v", "2"), ("stage", "dev")]),
            member(3, &[]),
        ];
        let lb = LoadBalancing::by(LbPolicy::RoundRobin);
        let policy = AssignmentPolicy::default();
        let all = Priorities::new(members.iter(), &lb, &policy, None);
        let subsets = Subsets::new(&members, &lb, settings, &policy, None);
        let wanted = labels(wanted);
        let choice = Choice { subset: Some(&wanted), ..Choice::default() };
        let (picked, way) = subsets.pick(&all, &lb, settings, &choice);
        (picked.endpoint.map(|endpoint| endpoint.address.port()), way)
    }

    #[test]
    fn exactly_the_wanted_keys_select() {
        let settings = settings(SubsetFallback::Nobody);
        assert_eq!(picked(&settings, &[("v", "2")]), (Some(2), Way::Selected));
        let both = [("v", "1"), ("stage", "prod")];
        assert_eq!(picked(&settings, &both), (Some(1), Way::Selected));
        assert_eq!(picked(&settings, &[("stage", "prod")]), (None, Way::Fallback));
        assert_eq!(picked(&settings, &[("v", "3")]), (None, Way::Fallback));
        assert_eq!(picked(&settings, &[]), (None, Way::Fallback));
    }

    #[test]
    fn fallbacks() {
        let default = settings(SubsetFallback::Default);
        assert_eq!(picked(&default, &[("v", "3")]), (Some(1), Way::Fallback));
        // The selector's own: fewer keys.
        let wanted = [("v", "2"), ("stage", "prod")];
        assert_eq!(picked(&default, &wanted), (Some(2), Way::Selected));
        let any = settings(SubsetFallback::Anybody);
        assert!(matches!(picked(&any, &[]), (Some(_), Way::Fallback)));
        let panic = Settings { panic_any: true, ..settings(SubsetFallback::Nobody) };
        assert!(matches!(picked(&panic, &[("v", "3")]), (Some(_), Way::Panic)));
    }
}
