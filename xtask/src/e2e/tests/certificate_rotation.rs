//! Certificates that live for seconds, under load.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::e2e::ctx::Ctx;
use crate::e2e::load::{self, Load};
use crate::e2e::{Figures, fixture};

/// An agent renews at two thirds of it; what is left is enough for a call that hangs.
const LIFE: &str = "pilot.workloadCertTtl=30s";
/// New certificates that must be seen, in time for at least twice as many.
const ROTATIONS: usize = 2;
const LIMIT: Duration = Duration::from_secs(240);

/// The server's sidecar shows new certificates again and again, and no request fails.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    let outcome = ctx.mesh().install(&["--set", LIFE]).and_then(|()| rotate(ctx));
    let restored = ctx.mesh().install(&[]);
    let figures = outcome?;
    restored?;
    Ok(figures)
}

fn rotate(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 1, 0)?;
    let plain = ctx.beside("plain", &[])?;
    fixture::client(&plain)?;
    // New connections all along, and such as live through many certificates.
    let short = load::paced(fixture::SERVER, fixture::PATH, 4, 100);
    let streams = serde_json::json!({"name": "one stream all along", "protocol": "grpc",
        "address": fixture::GRPC_SERVER, "rate": 50.0, "messages": u32::MAX});
    let load = Load::start(ctx, "load", &[short, streams])?;
    let pods = ctx.pods("app=server")?;
    let address = format!("{}:8080", pods[0]["status"]["podIP"].as_str().unwrap_or_default());
    let (start, mut seen) = (Instant::now(), BTreeSet::new());
    while seen.len() <= ROTATIONS {
        ensure!(start.elapsed() < LIMIT, "{} certificates after {LIMIT:?}", seen.len());
        let serial = plain.exec("client", "client", &["mesh-load", "serial", &address])?;
        if seen.insert(serial.trim().to_owned()) {
            ctx.say(format!("{:.0?}: certificate {}", start.elapsed(), seen.len()));
        }
        ctx.pass(Duration::from_millis(500))?;
    }
    let report = load.stop()?;
    report.none_failed()?;
    Ok(Figures::default().and(format!("{ROTATIONS} rotations seen")).and(report.to_string()))
}
