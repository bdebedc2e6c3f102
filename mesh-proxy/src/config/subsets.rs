//! Subsets.

use std::collections::BTreeSet;

use super::{Labels, Name};

/// `lb_subset_config`
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Subsets {
    /// `subset_selectors`
    pub(crate) selectors: Vec<SubsetSelector>,
    /// `fallback_policy`: for what asks for a subset that has no endpoint, or for none.
    pub(crate) fallback: SubsetFallback,
    /// `default_subset`
    pub(crate) default: Labels,
    /// `locality_weight_aware`
    pub(crate) by_locality: bool,
    /// `panic_mode_any`: all endpoints when there is none otherwise.
    pub(crate) panic_any: bool,
}

/// One way to make subsets: endpoints with the same values of these keys are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SubsetSelector {
    pub(crate) keys: BTreeSet<Name>,
    /// `single_host_per_subset`: only the first of them.
    pub(crate) single_host: bool,
    /// In the place of the general one.
    pub(crate) fallback: Option<SubsetFallback>,
    /// `fallback_keys_subset`, fewer than `keys`.
    pub(crate) fallback_keys: BTreeSet<Name>,
}

/// What is chosen from instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubsetFallback {
    Nobody,
    Anybody,
    Default,
    /// KEYS_SUBSET, of a selector alone: what is asked for by fewer keys.
    Keys,
}

impl Subsets {
    /// The selector of exactly these keys.
    pub(crate) fn selector<'k>(
        &self,
        keys: impl Iterator<Item = &'k Name> + Clone,
    ) -> Option<&SubsetSelector> {
        self.selectors.iter().find(|selector| selector.keys.iter().eq(keys.clone()))
    }

    pub(crate) fn uses_default(&self) -> bool {
        let own = self.selectors.iter().filter_map(|selector| selector.fallback);
        own.chain([self.fallback]).any(|fallback| fallback == SubsetFallback::Default)
    }
}
