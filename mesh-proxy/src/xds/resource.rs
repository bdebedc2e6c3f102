//! A resource and its versions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use prost_types::Any;

use crate::config::Name;

/// The resources of one type, by name.
pub(crate) type Table<T> = BTreeMap<Name, Entry<T>>;

/// One resource: what is in force, what is to take its place, what was refused last.
#[derive(Debug)]
pub(crate) struct Entry<T> {
    /// From the file. ADS neither changes nor removes it.
    pub(crate) is_static: bool,
    pub(crate) active: Option<Version<T>>,
    pub(crate) warming: Option<Warming<T>>,
    pub(crate) failure: Option<Failure>,
    /// What was active before, until it is known whether the data plane takes the new one.
    pub(super) previous: Option<Version<T>>,
}

/// A version of a resource.
#[derive(Debug)]
pub(crate) struct Version<T> {
    pub(crate) config: Arc<T>,
    /// The `version_info` of its response; empty for a static one.
    pub(crate) version: Arc<str>,
    /// As it came, for `/config_dump`.
    pub(crate) wire: Arc<Any>,
    pub(crate) updated: SystemTime,
}

/// A version that waits for the resources it needs.
#[derive(Debug)]
pub(crate) struct Warming<T> {
    pub(crate) version: Version<T>,
    /// When it goes ahead without them. `None`: never.
    pub(super) deadline: Option<Instant>,
}

/// A version that was refused.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) details: String,
    pub(crate) version: Arc<str>,
    pub(crate) wire: Arc<Any>,
    pub(crate) at: SystemTime,
}

// By hand: a derived one would ask the configuration itself to be Clone.
impl<T> Clone for Version<T> {
    fn clone(&self) -> Self {
        Self {
            config: Arc::clone(&self.config),
            version: Arc::clone(&self.version),
            wire: Arc::clone(&self.wire),
            updated: self.updated,
        }
    }
}

impl<T> Default for Entry<T> {
    fn default() -> Self {
        Self { is_static: false, active: None, warming: None, failure: None, previous: None }
    }
}

impl<T: PartialEq> Entry<T> {
    /// Takes a new version: it warms, unless it is what is in force already.
    pub(super) fn take(&mut self, version: Version<T>, deadline: Option<Instant>) {
        self.failure = None;
        if let Some(active) = &mut self.active
            && active.config == version.config
        {
            // Only its version has changed; the data plane keeps what it has.
            let config = Arc::clone(&active.config);
            *active = Version { config, ..version };
            self.warming = None;
            return;
        }
        let deadline = match &self.warming {
            // A version that is merely repeated does not wait anew.
            Some(warming) if warming.version.config == version.config => warming.deadline,
            _ => deadline,
        };
        self.warming = Some(Warming { version, deadline });
    }
}

impl<T> Entry<T> {
    /// Whether the version that warms may wait no longer.
    pub(super) fn is_overdue(&self, now: Instant) -> bool {
        let deadline = self.warming.as_ref().and_then(|warming| warming.deadline);
        deadline.is_some_and(|deadline| deadline <= now)
    }

    /// Puts the version that warms in force and gives its configuration.
    pub(super) fn promote(&mut self) -> Option<Arc<T>> {
        let version = self.warming.take()?.version;
        let config = Arc::clone(&version.config);
        self.active = Some(version);
        Some(config)
    }

    /// The same, where the data plane may not take it: to be followed by
    /// [`Self::demote`] or [`Self::confirm`].
    pub(super) fn propose(&mut self) -> Option<Arc<T>> {
        let before = self.active.clone();
        let config = self.promote()?;
        self.previous = before;
        Some(config)
    }

    /// The data plane took what was proposed.
    pub(super) fn confirm(&mut self) {
        self.previous = None;
    }

    /// A version was refused; what is in force stays so.
    pub(super) fn refuse(&mut self, failure: Failure) {
        if !self.is_static {
            self.failure = Some(failure);
        }
    }

    /// The data plane did not take what was proposed: what was before is in force.
    pub(super) fn demote(&mut self, details: String, at: SystemTime) {
        let Some(refused) = std::mem::replace(&mut self.active, self.previous.take()) else {
            return;
        };
        self.failure = Some(Failure { details, version: refused.version, wire: refused.wire, at });
    }

    /// The configurations of both versions.
    pub(super) fn configs(&self) -> impl Iterator<Item = &T> {
        let warming = self.warming.iter().map(|warming| &*warming.version.config);
        self.active.iter().map(|active| &*active.config).chain(warming)
    }
}

/// How many are in force, and how many wait.
pub(super) fn counts<T>(table: &Table<T>) -> (u64, u64) {
    let active = table.values().filter(|entry| entry.active.is_some()).count();
    let warming = table.values().filter(|entry| entry.warming.is_some()).count();
    (active as u64, warming as u64)
}
