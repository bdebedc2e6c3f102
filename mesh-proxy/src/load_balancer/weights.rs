//! Weights as parts of one, for policies that hash.

use std::sync::Arc;

use super::localities::by_locality;
use crate::config::Name;
use crate::endpoint::{Endpoint, Member};

/// Under `envoy.lb` in an endpoint's metadata: hashed in its address's place.
const HASH_KEY: &str = "hash_key";

/// A host in a table.
#[derive(Clone, Debug)]
pub(super) struct Weighted {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) key: Name,
    /// Its part of all requests, more than zero.
    pub(super) part: f64,
}

/// The hosts with their parts; by locality those of a locality without weight get none.
pub(super) fn normalized<'m>(
    members: &[&'m Member],
    wanted: impl Fn(&Member) -> bool,
    by_weight_of_locality: bool,
    use_hostname: bool,
) -> Vec<Weighted> {
    let groups = by_locality(members);
    let total = groups.iter().map(|(locality, _)| u64::from(locality.weight)).sum::<u64>();
    let mut found = Vec::with_capacity(members.len());
    let mut add = |group: &[&'m Member], part: f64| {
        let group = || group.iter().filter(|member| wanted(member));
        let sum = group().map(|member| u64::from(member.config.weight)).sum::<u64>();
        found.extend(group().map(|member| Weighted {
            endpoint: Arc::clone(&member.endpoint),
            key: key(member, use_hostname),
            part: f64::from(member.config.weight) * part / sum as f64,
        }));
    };
    if by_weight_of_locality {
        for (locality, members) in groups.iter().filter(|(locality, _)| locality.weight > 0) {
            add(members, f64::from(locality.weight) / total as f64);
        }
    } else {
        add(members, 1.0);
    }
    found
}

/// What is hashed of a host.
fn key(member: &Member, use_hostname: bool) -> Name {
    match member.config.lb_labels.get(HASH_KEY) {
        // A NUL begins what is no text.
        Some(key) if !key.is_empty() && !key.starts_with('\0') => key.clone(),
        _ if use_hostname => member.endpoint.hostname.clone().unwrap_or_default(),
        _ => member.endpoint.address.to_string().into(),
    }
}
