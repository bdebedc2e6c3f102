//! What the responses of all types have in common: each resource stands alone.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use prost_types::Any;

use super::open::open;
use super::resource::{Failure, Table, Version};
use super::state::Now;
use crate::config::{Error, Name};

/// A type of resource: `M` on the wire, `T` behind it.
pub(super) struct Kind<M, T> {
    /// As an error calls one.
    pub(super) label: &'static str,
    pub(super) name: fn(&M) -> &str,
    /// When one stops waiting for what it needs.
    pub(super) deadline: fn(&T, Now) -> Option<Instant>,
    /// What the admin pages show of one.
    pub(super) kept: fn(Arc<Any>, &M) -> Arc<Any>,
}

/// A response.
pub(super) struct Incoming<'a> {
    pub(super) version: &'a Arc<str>,
    pub(super) resources: Vec<Any>,
    pub(super) now: Now,
}

/// What came of it.
pub(super) struct Taken<R> {
    /// Each resource that was refused, and why.
    pub(super) refused: Vec<String>,
    pub(super) result: R,
}

/// A resource with a name.
struct Named<M> {
    name: Name,
    wire: Arc<Any>,
    message: M,
}

impl<M: Message + prost::Name + Default, T: PartialEq> Kind<M, T> {
    /// Takes the whole set of a type: good resources begin to warm, and what is absent goes.
    /// Gives the names of those that were in force and are gone.
    pub(super) fn take_all(
        &self,
        table: &mut Table<T>,
        response: Incoming<'_>,
        convert: impl Fn(M) -> Result<T, Error>,
    ) -> Taken<Vec<Name>> {
        let Incoming { version, resources, now } = response;
        let mut refused = Vec::new();
        let mut seen: HashSet<Name> = HashSet::new();
        // A resource whose name cannot be read may be any one: then nothing is removed.
        let mut all_named = true;
        for (index, any) in resources.into_iter().enumerate() {
            let Named { name, wire, message } = match self.open(any) {
                Ok(named) => named,
                Err(details) => {
                    refused.push(format!("resource {index}: {details}"));
                    all_named = false;
                    continue;
                }
            };
            let label = self.label;
            let result = match table.get(&name) {
                _ if !seen.insert(name.clone()) => {
                    Err("is there twice; the first one is taken".to_owned())
                }
                Some(entry) if entry.is_static => {
                    Err(format!("is a static {label}, which ADS cannot change"))
                }
                _ => convert(message).map_err(|error| error.to_string()),
            };
            let version = Arc::clone(version);
            let entry = table.entry(name.clone()).or_default();
            match result {
                Ok(config) => {
                    let deadline = (self.deadline)(&config, now);
                    let config = Arc::new(config);
                    entry.take(Version { config, version, wire, updated: now.wall }, deadline);
                }
                Err(details) => {
                    refused.push(format!("{label} {name}: {details}"));
                    entry.refuse(Failure { details, version, wire, at: now.wall });
                }
            }
        }
        let mut gone = Vec::new();
        if all_named {
            table.retain(|name, entry| {
                let keep = entry.is_static || seen.contains(name);
                if !keep && entry.active.is_some() {
                    gone.push(Name::clone(name));
                }
                keep
            });
        }
        Taken { refused, result: gone }
    }

    /// Takes those that are wanted, of a type whose responses say nothing of what is absent;
    /// they wait for nothing. Gives those that have changed.
    pub(super) fn take_wanted(
        &self,
        table: &mut Table<T>,
        wanted: &BTreeSet<String>,
        response: Incoming<'_>,
        convert: impl Fn(M) -> Result<T, Error>,
    ) -> Taken<Vec<(Name, Arc<T>)>> {
        let Incoming { version, resources, now } = response;
        let mut refused = Vec::new();
        let mut changed = Vec::new();
        for (index, any) in resources.into_iter().enumerate() {
            let Named { name, wire, message } = match self.open(any) {
                Ok(named) => named,
                Err(details) => {
                    refused.push(format!("resource {index}: {details}"));
                    continue;
                }
            };
            if !wanted.contains(&*name) {
                continue;
            }
            let version = Arc::clone(version);
            let entry = table.entry(name.clone()).or_default();
            match convert(message) {
                Ok(config) => {
                    let config = Arc::new(config);
                    entry.take(Version { config, version, wire, updated: now.wall }, None);
                    changed.extend(entry.promote().map(|config| (name, config)));
                }
                Err(error) => {
                    let details = error.to_string();
                    refused.push(format!("{} {name}: {details}", self.label));
                    entry.refuse(Failure { details, version, wire, at: now.wall });
                }
            }
        }
        Taken { refused, result: changed }
    }

    /// A resource without a name could be any one, and is refused.
    fn open(&self, any: Any) -> Result<Named<M>, String> {
        let (wire, message) = open::<M>(any)?;
        match (self.name)(&message) {
            "" => Err(format!("is a {} without a name", self.label)),
            name => Ok(Named { name: name.into(), wire: (self.kept)(wire, &message), message }),
        }
    }
}
