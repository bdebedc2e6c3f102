//! Puts the mesh on a cluster and takes it off: the chart, and what applies it.
//!
//! [`chart`] is pure; everything else speaks to an API server. What is done is told as
//! [`Event`]s, which whoever calls shows.

mod apply;
pub mod bug_report;
pub mod chart;
pub mod check;
mod client;
mod event;
mod injection;
mod install;
mod kinds;
mod names;
mod object;
mod order;
mod plan;
mod pod;
mod remembered;
mod revisions;
mod uninstall;
mod upgrade;
mod wait;

pub use apply::{ApplyError, Change, FIELD_MANAGER};
pub use client::{ConnectError, Connection, explain};
pub use event::{Event, Events};
pub use injection::{InjectionError, default_settings, settings_of_cluster};
pub use install::{InstallError, Settings, install};
pub use object::ObjectName;
pub use plan::plan;
pub use pod::{is_ready, sidecar};
pub use remembered::{Known, gateway_revision, objects, remembered};
pub use uninstall::{Found, Scope, UninstallError, find, uninstall};
pub use upgrade::{Rollout, Sick, UpgradeError, Which, find_stale, roll_out};
pub use wait::{GRACE, NotReady, WaitError};

/// The label of everything that is installed.
pub const PART_OF: (&str, &str) = ("app.kubernetes.io/part-of", "mesh");
/// The label of what belongs to a revision.
pub const REVISION_LABEL: &str = "sidecar.mesh/rev";
