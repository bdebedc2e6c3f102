//! The objects of one kind, each in the last version that could be read.

use std::collections::BTreeMap;

use mesh_rules::Problem;

use crate::cluster::{Delta, ObjectName};
use crate::platform::kubernetes::FieldError;

/// What is kept of an object: `None` when it is nothing to the mesh.
pub(super) type Read<T> = Result<Option<T>, FieldError>;

/// By namespace and name.
pub(super) struct Known<T> {
    /// `Pod`.
    kind: &'static str,
    good: BTreeMap<ObjectName, T>,
    problems: BTreeMap<ObjectName, Problem>,
    /// Whether all of them have been seen.
    pub(super) is_complete: bool,
}

/// One that is not as it was; `former` is what was kept of it.
pub(super) struct Changed<T> {
    pub(super) name: ObjectName,
    pub(super) former: Option<T>,
}

impl<T: Clone + PartialEq> Known<T> {
    pub(super) fn new(kind: &'static str) -> Self {
        Self { kind, good: BTreeMap::new(), problems: BTreeMap::new(), is_complete: false }
    }

    pub(super) fn get(&self, name: &ObjectName) -> Option<&T> {
        self.good.get(name)
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&ObjectName, &T)> {
        self.good.iter()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &T> {
        self.good.values()
    }

    pub(super) fn problems(&self) -> impl Iterator<Item = &Problem> {
        self.problems.values()
    }

    /// Takes in what became of them; gives those that mean something else now.
    pub(super) fn take(&mut self, delta: Delta<Read<T>>) -> Vec<Changed<T>> {
        match delta {
            Delta::Set(name, read) => self.set(name, read).into_iter().collect(),
            Delta::Gone(name) => self.remove(name).into_iter().collect(),
            Delta::All(all) => {
                self.is_complete = true;
                let gone = |names: Vec<&ObjectName>| -> Vec<ObjectName> {
                    names.into_iter().filter(|name| !all.contains_key(name)).cloned().collect()
                };
                let known = self.good.keys().chain(self.problems.keys());
                let gone = gone(known.collect());
                let mut changed: Vec<_> =
                    gone.into_iter().filter_map(|name| self.remove(name)).collect();
                changed.extend(all.into_iter().filter_map(|(name, read)| self.set(name, read)));
                changed
            }
        }
    }

    fn set(&mut self, name: ObjectName, read: Read<T>) -> Option<Changed<T>> {
        let good = match read {
            Err(FieldError { path, message }) => {
                let ObjectName { name: own, namespace } = &name;
                let source = format!("{} {namespace}/{own}", self.kind);
                self.problems.insert(name, Problem { source, path, message });
                return None;
            }
            Ok(good) => good,
        };
        self.problems.remove(&name);
        if self.good.get(&name) == good.as_ref() {
            return None;
        }
        let former = match good {
            Some(good) => self.good.insert(name.clone(), good),
            None => self.good.remove(&name),
        };
        Some(Changed { name, former })
    }

    fn remove(&mut self, name: ObjectName) -> Option<Changed<T>> {
        self.problems.remove(&name);
        let former = self.good.remove(&name)?;
        Some(Changed { name, former: Some(former) })
    }
}
