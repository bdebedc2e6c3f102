//! Proxies replaced in their pods, while they carry load.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::e2e::ctx::{Ctx, DEADLINE, PROXY};
use crate::e2e::load::{self, Load};
use crate::e2e::{Figures, fixture};

/// How often the server's proxy is replaced, and the client's. A second time the server's would
/// wait until the first one has drained.
const TIMES: [u64; 2] = [1, 2];

const CONFIG_DIR: &str = "--config-dir=/etc/mesh/proxy";
/// A proxy with a bootstrap of the user's own, and its agent.
const FRONT: &str = include_str!("../manifests/front.yaml");
/// What the bootstrap is changed to, from `first`.
const CHANGED: &str = "second";

/// The client's and the server's sidecar get new proxies by hand, and a proxy with a static
/// bootstrap gets one when that changes; nothing is lost.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 1, 0)?;
    front(ctx, "first")?;
    ctx.wait_for("Ready", "pod/front")?;
    let clients = [
        load::paced(fixture::SERVER, fixture::PATH, 16, 300),
        load::paced("front:8080", fixture::PATH, 8, 100),
    ];
    let load = Load::start(ctx, "load", &clients)?;
    let server = ctx.pod("app=server")?;
    for (pod, times) in [server.as_str(), "load"].into_iter().zip(TIMES) {
        for time in 1..=times {
            let before = generation(ctx, pod)?;
            let said = ctx.meshctl(&["proxy", "restart", pod])?;
            let after = generation(ctx, pod)?;
            ensure!(after > before, "{pod}: generation {before}, and {after} after: {said}");
            ctx.say(format!("{pod}, {time} of {times}: {}", said.trim()));
            let so_far = load.requests()?;
            load.reach(so_far + 500, DEADLINE)?;
        }
    }
    change_bootstrap(ctx)?;
    let so_far = load.requests()?;
    load.reach(so_far + 500, DEADLINE)?;
    let report = load.stop()?;
    report.none_failed()?;
    let replaced = TIMES.iter().sum::<u64>() + 1;
    Ok(Figures::default().and(format!("{replaced} replaced")).and(report.to_string()))
}

/// Applies the pod `front` with a bootstrap that says so.
fn front(ctx: &Ctx, says: &str) -> Result<()> {
    ctx.apply("front.yaml", &FRONT.replace("SAYS", says))
}

/// Until a new proxy serves what the bootstrap now says.
fn change_bootstrap(ctx: &Ctx) -> Result<()> {
    let before = generation(ctx, "front")?;
    front(ctx, CHANGED)?;
    // By itself kubelet looks once a minute whether a ConfigMap has changed.
    ctx.kubectl(&["annotate", "pod/front", &format!("bootstrap={CHANGED}")])?;
    ctx.until("a proxy with the changed bootstrap", || {
        let after = generation(ctx, "front")?;
        ensure!(after > before, "generation {after}, and {before} before");
        let dump = ctx.admin("front", "/config_dump")?;
        ensure!(dump.contains(CHANGED), "it serves what was before");
        ctx.say(format!("front: generation {after} serves the changed bootstrap"));
        Ok(())
    })
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
