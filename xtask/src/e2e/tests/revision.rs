//! A second control plane, workloads moved to it by `meshctl upgrade`, and back.

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
    let outcome = there_and_back(ctx);
    // It would be refused while a pod is left whose proxy asks that one's pilots.
    let uninstalled = ctx.mesh().uninstall_revision(CANARY);
    outcome?;
    uninstalled?;
    let report = load.stop()?;
    report.none_failed()?;
    Ok(Figures::default().and(report.to_string()))
}

fn there_and_back(ctx: &Ctx) -> Result<()> {
    ctx.say("to the second revision");
    ctx.mesh().upgrade(&["--revision", CANARY, "--only", &ctx.namespace])?;
    asks(ctx, "mesh-pilot-canary.")?;
    ctx.say("and back");
    ctx.mesh().upgrade(&["--revision", "default", "--only", &ctx.namespace])?;
    asks(ctx, "mesh-pilot.")
}

/// Whether every proxy of the workload asks that pilot.
fn asks(ctx: &Ctx, pilot: &str) -> Result<()> {
    for pod in ctx.pods("app=server")? {
        let spec = pod["spec"].to_string();
        ensure!(spec.contains(pilot), "{} does not ask {pilot}: {spec}", pod["metadata"]["name"]);
    }
    Ok(())
}
