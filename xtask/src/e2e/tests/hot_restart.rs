//! Proxies replaced in their pods, while they carry load.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::e2e::ctx::{Ctx, PROXY};
use crate::e2e::load::{self, Load};
use crate::e2e::{Figures, fixture};

/// How often the server's proxy is replaced, and the client's. A second time the server's would
/// wait until the first one has drained.
const TIMES: [u64; 2] = [1, 2];

const CONFIG_DIR: &str = "--config-dir=/etc/mesh/proxy";

/// Both the client's and the server's sidecar get new proxies; nothing is lost.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 1, 0)?;
    let clients = [load::paced(fixture::SERVER, fixture::PATH, 16, 400)];
    let load = Load::start(ctx, "load", &clients)?;
    let server = ctx.pod("app=server")?;
    for (pod, times) in [server.as_str(), "load"].into_iter().zip(TIMES) {
        for time in 1..=times {
            let before = generation(ctx, pod)?;
            let said = ctx.exec(pod, PROXY, &["mesh-agent", "restart", CONFIG_DIR])?;
            let after = generation(ctx, pod)?;
            ensure!(after > before, "{pod}: generation {before}, and {after} after: {said}");
            ctx.say(format!("{pod}, {time} of {times}: {}", said.trim()));
            let so_far = load.requests()?;
            load.reach(so_far + 500, crate::e2e::ctx::DEADLINE)?;
        }
    }
    let report = load.stop()?;
    report.none_failed()?;
    let replaced: u64 = TIMES.iter().sum();
    Ok(Figures::default().and(format!("{replaced} replaced")).and(report.to_string()))
}

/// Which generation of the proxy serves.
fn generation(ctx: &Ctx, pod: &str) -> Result<u64> {
    let said = ctx.exec(pod, PROXY, &["mesh-agent", "status", CONFIG_DIR, "--output=json"])?;
    let status: Value = serde_json::from_str(&said).with_context(|| said.clone())?;
    let generations = status["generations"].as_array().into_iter().flatten();
    let serving = generations.filter(|one| one["state"] == "serving");
    let epochs = serving.filter_map(|one| one["epoch"].as_u64());
    epochs.max().with_context(|| format!("{pod}: none serves: {said}"))
}
