//! A second control plane, workloads moved to it, and back.

use anyhow::{Result, ensure};

use crate::e2e::ctx::Ctx;
use crate::e2e::load::{self, Load};
use crate::e2e::mesh::CANARY;
use crate::e2e::{Figures, fixture};

/// Under load, without a failed request.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 2, 0)?;
    let clients = [load::paced(fixture::SERVER, fixture::PATH, 8, 500)];
    let load = Load::start(ctx, "load", &clients)?;
    ctx.mesh().install(&["--revision", CANARY])?;
    there_and_back(ctx)?;
    // It would be refused while a pod is left whose proxy asks that one's pilots.
    ctx.mesh().uninstall_revision(CANARY)?;
    let report = load.stop()?;
    report.none_failed()?;
    Ok(Figures::default().and(report.to_string()))
}

fn there_and_back(ctx: &Ctx) -> Result<()> {
    ctx.say("to the second revision");
    ctx.label_namespace(&["mesh-injection-", "istio.io/rev=canary"])?;
    move_to(ctx, "mesh-pilot-canary.")?;
    ctx.say("and back");
    ctx.label_namespace(&["istio.io/rev-", "mesh-injection=enabled"])?;
    move_to(ctx, "mesh-pilot.")
}

/// Rolls the workload out anew; its proxies then ask that pilot.
fn move_to(ctx: &Ctx, pilot: &str) -> Result<()> {
    ctx.kubectl(&["rollout", "restart", "deployment/server"])?;
    ctx.rolled_out("deployment/server")?;
    for pod in ctx.pods("app=server")? {
        let spec = pod["spec"].to_string();
        ensure!(spec.contains(pilot), "{} does not ask {pilot}: {spec}", pod["metadata"]["name"]);
    }
    Ok(())
}
