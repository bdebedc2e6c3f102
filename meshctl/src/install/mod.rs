//! The commands that put the mesh on a cluster and take it off.

mod chart;
mod manifest;
mod progress;
mod run;

pub(crate) use manifest::{ManifestCommand, run as manifest};
pub(crate) use run::{InstallArgs, run as install};
