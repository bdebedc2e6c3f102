//! The commands that put the mesh on a cluster and take it off.

mod ask;
mod bug_report;
mod chart;
mod check;
mod manifest;
mod progress;
mod run;
mod uninstall;
mod upgrade;

use std::time::Duration;

pub(crate) use bug_report::{BugReportArgs, run as bug_report};
pub(crate) use check::{CheckArgs, run as check};
pub(crate) use manifest::{ManifestCommand, run as manifest};
pub(crate) use run::{InstallArgs, run as install};
pub(crate) use uninstall::{UninstallArgs, run as uninstall};
pub(crate) use upgrade::{UpgradeArgs, run as upgrade};

/// A number with s or m.
fn time(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s or m, such as 90s".to_owned();
    let (number, unit) = match text.strip_suffix('m') {
        Some(number) => (number, 60),
        None => (text.strip_suffix('s').ok_or_else(expected)?, 1),
    };
    let number: u32 = number.parse().map_err(|_| expected())?;
    Ok(Duration::from_secs(u64::from(number) * unit))
}
