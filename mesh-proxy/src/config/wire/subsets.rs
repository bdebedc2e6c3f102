//! `LbSubsetConfig`.

use std::collections::BTreeSet;

use mesh_proto::envoy::config::cluster::v3::cluster as proto;

use super::common::{enumeration, refuse_set};
use super::metadata;
use crate::config::{Error, Name, Path, SubsetFallback, SubsetSelector, Subsets};

/// `None` without selectors, as in Envoy.
pub(super) fn subsets(
    path: &Path,
    config: Option<proto::LbSubsetConfig>,
) -> Result<Option<Subsets>, Error> {
    use proto::lb_subset_config::LbSubsetFallbackPolicy as Fallback;
    let Some(config) = config else { return Ok(None) };
    let path = path.field("lb_subset_config");
    let proto::LbSubsetConfig {
        fallback_policy,
        default_subset,
        subset_selectors,
        locality_weight_aware,
        scale_locality_weight,
        panic_mode_any,
        list_as_any,
        metadata_fallback_policy,
    } = config;
    refuse_set!(
        &path,
        LbSubsetConfig,
        scale_locality_weight,
        list_as_any,
        metadata_fallback_policy
    );
    let fallback = match enumeration(&path, "fallback_policy", fallback_policy)? {
        Fallback::NoFallback => SubsetFallback::Nobody,
        Fallback::AnyEndpoint => SubsetFallback::Anybody,
        Fallback::DefaultSubset => SubsetFallback::Default,
    };
    let mut selectors = Vec::with_capacity(subset_selectors.len());
    for (index, wire) in subset_selectors.into_iter().enumerate() {
        selectors.push(selector(&path.field("subset_selectors").index(index), wire)?);
    }
    if selectors.is_empty() {
        return Ok(None);
    }
    Ok(Some(Subsets {
        selectors,
        fallback,
        default: default_subset.as_ref().map(metadata::labels).unwrap_or_default(),
        by_locality: locality_weight_aware,
        panic_any: panic_mode_any,
    }))
}

fn selector(
    path: &Path,
    wire: proto::lb_subset_config::LbSubsetSelector,
) -> Result<SubsetSelector, Error> {
    use proto::lb_subset_config::lb_subset_selector::LbSubsetSelectorFallbackPolicy as Fallback;
    let proto::lb_subset_config::LbSubsetSelector {
        keys,
        single_host_per_subset,
        fallback_policy,
        fallback_keys_subset,
    } = wire;
    let names = |keys: Vec<String>| keys.into_iter().map(Name::from).collect::<BTreeSet<_>>();
    let (keys, fallback_keys) = (names(keys), names(fallback_keys_subset));
    if keys.is_empty() {
        return Err(path.field("keys").error("found none, expected one or more"));
    }
    let fallback = match enumeration(path, "fallback_policy", fallback_policy)? {
        Fallback::NotDefined => None,
        Fallback::NoFallback => Some(SubsetFallback::Nobody),
        Fallback::AnyEndpoint => Some(SubsetFallback::Anybody),
        Fallback::DefaultSubset => Some(SubsetFallback::Default),
        Fallback::KeysSubset => Some(SubsetFallback::Keys),
    };
    let is_keys = fallback == Some(SubsetFallback::Keys);
    let is_fewer = fallback_keys.is_subset(&keys) && fallback_keys.len() < keys.len();
    if is_keys == fallback_keys.is_empty() || (is_keys && !is_fewer) {
        return Err(path.field("fallback_keys_subset").error(
            "expected some of the keys, but not all, with fallback_policy: KEYS_SUBSET alone",
        ));
    }
    Ok(SubsetSelector { keys, single_host: single_host_per_subset, fallback, fallback_keys })
}
