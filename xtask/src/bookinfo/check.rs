//! `bookinfo --check`: what the sample must show, seen by a machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::leftovers::Leftovers;
use super::mesh::{self, PAGE};
use super::rules::{self, RARE, Shares};
use super::split::Split;
use super::traffic::{self, Load, Tally};
use crate::local_mesh::LocalMesh;

/// Every version; least request gives more to the faster ones, so the shares are not tested.
const ALL: Shares = &[("v1", 1.0 / 3.0), ("v2", 1.0 / 3.0), ("v3", 1.0 / 3.0)];
const HALVES: Shares = &[("v1", 0.5), ("v3", 0.5)];

const START_DEADLINE: Duration = Duration::from_secs(30);

/// Brings bookinfo up from the binaries in `folder`, checks it, and takes it down.
///
/// # Errors
/// When something is not as it must be.
pub(super) fn run(
    folder: &Path,
    envoy: Option<&Path>,
    stop: &AtomicBool,
    keep: bool,
) -> Result<()> {
    let start = Instant::now();
    let before = Leftovers::now(folder)?;
    let mut mesh = mesh::up(folder, envoy)?;
    let took = mesh::wait_for_page(&mut mesh, stop)?;
    mesh.wait_for_pods(stop)?;
    say(&format!("the first good page came {:.1} s after the start", took.as_secs_f64()));

    all_versions()?;
    shift_under_load(&mesh)?;
    sidecar_shows_the_split(&mesh)?;
    refuses_what_does_not_exist(&mesh)?;
    mesh.ask(&["route", "delete", "reviews"])?;
    rules::settle(PAGE, &[], ALL).context("after route delete reviews")?;
    say("the well-known rule files");
    rules::check(PAGE, |file| apply(&mesh, file))?;

    if keep {
        say("everything is as it must be; Ctrl-C ends the mesh");
        mesh.wait(stop)?;
    } else {
        mesh.down()?;
    }
    Leftovers::gone_but(&before, folder)?;
    say(&format!("bookinfo --check passed in {:.0} s", start.elapsed().as_secs_f64()));
    Ok(())
}

fn say(what: &str) {
    eprintln!("-- {what}");
}

/// A pod that is ready is known to the others' sidecars a moment later, so failures count only
/// from when all are seen.
fn all_versions() -> Result<()> {
    let start = Instant::now();
    while let Err(error) = rules::settle(PAGE, &[], ALL) {
        if start.elapsed() > START_DEADLINE {
            return Err(error).context("with no rule");
        }
    }
    say(&format!("with no rule: {}", traffic::sample(PAGE, 300, &[])?));
    Ok(())
}

/// Changes rules under load, ends with 50/50, and counts.
fn shift_under_load(mesh: &LocalMesh) -> Result<()> {
    let load = Load::start(PAGE);
    let changes: [(&[&str], Shares); 4] = [
        (&["v1=50", "v3=50"], HALVES),
        (&["v2=100"], &[("v2", 1.0)]),
        (&["v1=10", "v2=90"], &[("v1", 0.1), ("v2", 0.9)]),
        (&["v3=100"], &[("v3", 1.0)]),
    ];
    for (weights, shares) in changes {
        route(mesh, weights)?;
        expect(300, shares, RARE)?;
    }
    mesh.ask(&["route", "delete", "reviews"])?;
    rules::settle(PAGE, &[], ALL)?;
    route(mesh, &["v1=50", "v3=50"])?;
    let tally = expect(2000, HALVES, 1e-4)?;
    let loaded = load.stop()?;
    say(&format!("under load, while rules changed: {loaded}"));
    loaded.no_failures().context("while rules changed")?;
    say(&format!("with v1=50 v3=50: {tally}"));
    Ok(())
}

/// Sends requests, whose shares must fit at once: when `route set` is back, every proxy has
/// the rule.
fn expect(count: u64, shares: Shares, significance: f64) -> Result<Tally> {
    let tally = traffic::sample(PAGE, count, &[])?;
    rules::fits(&tally, shares, significance)?;
    Ok(tally)
}

fn apply(mesh: &LocalMesh, file: &Path) -> Result<()> {
    let file = file.to_str().context("the checkout's path is not UTF-8")?;
    mesh.ask_as_root(&["local", "apply", "-f", file]).map(drop)
}

fn route(mesh: &LocalMesh, weights: &[&str]) -> Result<()> {
    let start = Instant::now();
    let said = mesh.ask(&[&["route", "set", "reviews"], weights].concat())?;
    let took = start.elapsed().as_millis();
    say(&format!("route set reviews {} ({took} ms): {}", weights.join(" "), said.trim()));
    Ok(())
}

fn sidecar_shows_the_split(mesh: &LocalMesh) -> Result<()> {
    let split = Split::of("default", [("v1", 50), ("v3", 50)]);
    split.is_in(&admin(mesh, "config_dump")?)?;
    let clusters = admin(mesh, "clusters")?;
    let addresses = split.addresses(&clusters);
    let ones = addresses.values().filter(|addresses| addresses.len() == 1).count();
    let distinct: BTreeSet<_> = addresses.values().flatten().collect();
    ensure!(
        ones == 2 && distinct.len() == 2,
        "/clusters: expected an address each for v1 and v3, got {addresses:?}"
    );
    say(&format!("productpage's sidecar has {addresses:?}"));
    Ok(())
}

fn admin(mesh: &LocalMesh, page: &str) -> Result<String> {
    let url = format!("127.0.0.1:15000/{page}");
    mesh.ask_as_root(&["local", "exec", "productpage", "--", "curl", "-sS", "--fail", &url])
}

fn refuses_what_does_not_exist(mesh: &LocalMesh) -> Result<()> {
    for args in [["route", "set", "reviews", "v9=100"], ["route", "set", "nobody", "v1=100"]] {
        let Err(error) = mesh.ask(&args) else { bail!("{} was accepted", args.join(" ")) };
        say(&format!("refused, as it must be: {}", format!("{error:#}").replace('\n', "\n     ")));
    }
    expect(500, HALVES, RARE).context("after refused rules")?;
    Ok(())
}
