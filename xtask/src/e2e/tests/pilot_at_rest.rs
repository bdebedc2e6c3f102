//! What the control plane uses when nothing changes.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::e2e::ctx::{Ctx, pod_name};
use crate::e2e::{Figures, fixture, mesh};
use crate::process;

const TIME: Duration = Duration::from_secs(10);
/// Percent of a core.
const LIMIT: f64 = 1.0;

/// The CPU time of each pilot over 10 seconds, with proxies connected.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 3, 0)?;
    ctx.pass(Duration::from_secs(3))?;
    let system = ctx.in_namespace(mesh::NAMESPACE);
    let pods: Vec<String> = system.pods("app=mesh-pilot")?.iter().map(pod_name).collect();
    ensure!(!pods.is_empty(), "no pod of the pilot");
    let used = |pod: &String| cpu(&system, pod);
    let (before, start) = (pods.iter().map(used).collect::<Result<Vec<_>>>()?, Instant::now());
    ctx.pass(TIME)?;
    let (after, took) = (pods.iter().map(used).collect::<Result<Vec<_>>>()?, start.elapsed());
    let shares = before.iter().zip(&after).map(|(before, after)| {
        100.0 * (after.saturating_sub(*before)).as_secs_f64() / took.as_secs_f64()
    });
    let most = shares.fold(0.0, f64::max);
    Ok(Figures::default()
        .within("the busier pilot at rest", most, LIMIT, "% of a core")
        .and(format!("{} pilots", pods.len())))
}

fn cpu(system: &Ctx, pod: &str) -> Result<Duration> {
    let stat = system.exec(pod, "pilot", &["cat", "/proc/1/stat"])?;
    process::cpu(&stat).with_context(|| format!("{pod}: /proc/1/stat: {stat:?}"))
}
