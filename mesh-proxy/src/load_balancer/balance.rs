//! All that an endpoint is chosen from.

use super::subsets::{Subsets, Way};
use super::{Choice, Picked, Priorities, TableStats};
use crate::config::{AssignmentPolicy, LoadBalancing};
use crate::endpoint::Member;

/// The endpoints of a cluster, prepared for choosing.
#[derive(Debug, Default)]
pub(crate) struct Balance {
    all: Priorities,
    subsets: Option<Box<Subsets>>,
}

impl Balance {
    /// Takes over the turns of `old`.
    pub(crate) fn new(
        members: &[Member],
        lb: &LoadBalancing,
        policy: &AssignmentPolicy,
        old: &Self,
    ) -> Self {
        let subsets = lb.subsets.as_ref().map(|settings| {
            let old = old.subsets.as_deref();
            Box::new(Subsets::new(members, lb, settings, policy, old))
        });
        Self { all: Priorities::new(members.iter(), lb, policy, Some(&old.all)), subsets }
    }

    /// With how it came about, if there are subsets.
    pub(crate) fn pick<'h>(
        &'h self,
        lb: &LoadBalancing,
        choice: &Choice<'_>,
    ) -> (Picked<'h>, Option<Way>) {
        match (&self.subsets, &lb.subsets) {
            (Some(subsets), Some(settings)) => {
                let (picked, way) = subsets.pick(&self.all, lb, settings, choice);
                (picked, Some(way))
            }
            _ => (self.all.pick(lb, choice), None),
        }
    }

    /// What is told of the tables of a policy that hashes.
    pub(crate) fn table_stats(&self) -> TableStats {
        self.all.table_stats()
    }

    /// How many subsets there are.
    pub(crate) fn subsets(&self) -> Option<u64> {
        self.subsets.as_ref().map(|subsets| subsets.count())
    }
}
