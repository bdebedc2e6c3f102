//! What there is of a cluster.

use std::io::Write;
use std::process::Command;

use anyhow::Result;

use super::{current, engine, folder, packages};
use crate::command;

/// Prints it, for people.
///
/// # Errors
/// When there is no cache folder, and when nobody reads any more.
pub(super) fn print() -> Result<()> {
    let folder = folder()?;
    let mut out = std::io::stdout().lock();
    if engine::is_there() {
        for (program, pid) in engine::pids() {
            let state = pid.map_or("does not run".to_owned(), |pid| format!("runs, process {pid}"));
            writeln!(out, "{program:<12} {state}")?;
        }
    } else {
        writeln!(out, "{:<12} the cluster's own does not run", "engine")?;
    }
    let state = match current() {
        Ok(cluster) if cluster.is_ready() => format!("ready\n\n{}", cluster.how_to_use()),
        Ok(_) => "not up; `cargo xtask cluster up` brings it up".to_owned(),
        Err(why) => format!("none: {why:#}"),
    };
    writeln!(out, "{:<12} {state}", "cluster")?;
    let built = if packages::has_bin(&folder) { "built" } else { "not built" };
    writeln!(out, "\n{:<12} from packages: {built}", "node")?;
    if folder.is_dir() {
        let mut du = Command::new("du");
        let size = command::read(du.args(["--summarize", "--human-readable"]).arg(&folder))?;
        let size = size.split_whitespace().next().unwrap_or_default();
        let note = "may be deleted while the cluster is down";
        writeln!(out, "{:<12} {} ({size}); {note}", "cache", folder.display())?;
    }
    Ok(())
}
