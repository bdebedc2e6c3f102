//! A pod that is gone without a word.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::e2e::ctx::{Ctx, DEADLINE, pod_name};
use crate::e2e::load::{self, Load, unix_ms};
use crate::e2e::{Figures, fixture};

/// Each has one request under way.
const CONNECTIONS: u32 = 12;
/// The time in which what was under way must have failed; kubelet is told last.
const AT_ONCE: Duration = Duration::from_secs(5);

/// `kubectl delete pod --force` of one replica costs the requests that were at it, and no
/// other.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 3, 0)?;
    let clients = [load::http1(fixture::SERVER, fixture::PATH, CONNECTIONS)];
    let load = Load::start(ctx, "load", &clients)?;
    let pods = ctx.pods("app=server")?;
    let victim = pod_name(pods.first().context("no pod of server")?);
    let before = load.requests()?;
    ctx.kubectl(&["delete", "pod", &victim, "--force", "--grace-period=0"])?;
    let deleted = unix_ms();
    ctx.rolled_out("deployment/server")?;
    load.reach(before + 5_000, DEADLINE)?;
    let report = load.stop()?;
    let failures = report.failures();
    ensure!(
        failures <= u64::from(CONNECTIONS),
        "{failures} requests failed, but {CONNECTIONS} at most were under way: {:?}",
        report.told()
    );
    for told in report.told() {
        let at = told["at_ms"].as_u64().unwrap_or(0);
        let late = at > deleted + AT_ONCE.as_millis() as u64;
        ensure!(!late, "failed {} ms after the deletion: {told}", at.saturating_sub(deleted));
    }
    Ok(Figures::default().and(format!("of {CONNECTIONS} under way")).and(report.to_string()))
}
