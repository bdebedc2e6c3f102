//! `bookinfo --check`: what the sample must show, seen by a machine.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::leftovers::Leftovers;
use super::mesh;
use super::rules::{self, RARE, Shares};
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
    rules::settle(&[], ALL).context("after route delete reviews")?;
    say("the well-known rule files");
    rules::check(&mesh)?;

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
    while let Err(error) = rules::settle(&[], ALL) {
        if start.elapsed() > START_DEADLINE {
            return Err(error).context("with no rule");
        }
    }
    say(&format!("with no rule: {}", traffic::sample(300, &[])?));
    Ok(())
}

/// Changes rules under load, ends with 50/50, and counts.
fn shift_under_load(mesh: &LocalMesh) -> Result<()> {
    let load = Load::start();
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
    rules::settle(&[], ALL)?;
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
    let tally = traffic::sample(count, &[])?;
    rules::fits(&tally, shares, significance)?;
    Ok(tally)
}

fn route(mesh: &LocalMesh, weights: &[&str]) -> Result<()> {
    let start = Instant::now();
    let said = mesh.ask(&[&["route", "set", "reviews"], weights].concat())?;
    let took = start.elapsed().as_millis();
    say(&format!("route set reviews {} ({took} ms): {}", weights.join(" "), said.trim()));
    Ok(())
}

fn sidecar_shows_the_split(mesh: &LocalMesh) -> Result<()> {
    let dump = admin(mesh, "config_dump")?;
    let dump: Value = serde_json::from_str(&dump).context("/config_dump is not JSON")?;
    let (v1, v3) = (subset("v1"), subset("v3"));
    let mut splits = Vec::new();
    find_weighted_clusters(&dump, &mut splits);
    let expected = BTreeSet::from([(v1.clone(), 50), (v3.clone(), 50)]);
    ensure!(splits.contains(&expected), "/config_dump has no split {expected:?}, but {splits:?}");

    let clusters = admin(mesh, "clusters")?;
    let (first, second) = (endpoints(&clusters, &v1), endpoints(&clusters, &v3));
    ensure!(
        first.len() == 1 && second.len() == 1 && first != second,
        "/clusters: expected an address each for v1 and v3, got {first:?} and {second:?}"
    );
    say(&format!("productpage's sidecar has v1 at {first:?} and v3 at {second:?}"));
    Ok(())
}

fn admin(mesh: &LocalMesh, page: &str) -> Result<String> {
    let url = format!("127.0.0.1:15000/{page}");
    mesh.ask_as_root(&["local", "exec", "productpage", "--", "curl", "-sS", "--fail", &url])
}

fn subset(version: &str) -> String {
    format!("outbound|9080|{version}|reviews.default.svc.cluster.local")
}

/// Every set of cluster and weight among which a route in this dump chooses.
fn find_weighted_clusters(value: &Value, found: &mut Vec<BTreeSet<(String, u64)>>) {
    if let Some(clusters) = value["weighted_clusters"]["clusters"].as_array() {
        let split = clusters.iter().map(|cluster| {
            let name = cluster["name"].as_str().unwrap_or_default().to_owned();
            (name, cluster["weight"].as_u64().unwrap_or(0))
        });
        found.push(split.collect());
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| find_weighted_clusters(item, found)),
        Value::Object(map) => map.values().for_each(|item| find_weighted_clusters(item, found)),
        _ => {}
    }
}

/// The addresses that `/clusters` lists for a cluster, in lines such as
/// `name::10.244.0.5:9080::cx_active::0`.
fn endpoints<'a>(clusters: &'a str, name: &str) -> BTreeSet<&'a str> {
    clusters
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix("::")?.split("::").next())
        .filter(|word| word.parse::<std::net::SocketAddr>().is_ok())
        .collect()
}

fn refuses_what_does_not_exist(mesh: &LocalMesh) -> Result<()> {
    for args in [["route", "set", "reviews", "v9=100"], ["route", "set", "nobody", "v1=100"]] {
        let Err(error) = mesh.ask(&args) else { bail!("{} was accepted", args.join(" ")) };
        say(&format!("refused, as it must be: {}", format!("{error:#}").replace('\n', "\n     ")));
    }
    expect(500, HALVES, RARE).context("after refused rules")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_found_wherever_it_stands_in_the_dump() {
        let dump = serde_json::json!({"configs": [{"dynamic_route_configs": [{"route": {
            "weighted_clusters": {"clusters": [
                {"name": "a", "weight": 50}, {"name": "b", "weight": 50}]}}}]}]});
        let mut found = Vec::new();
        find_weighted_clusters(&dump, &mut found);
        assert_eq!(found, [BTreeSet::from([("a".to_owned(), 50), ("b".to_owned(), 50)])]);
    }

    #[test]
    fn only_addresses_count_as_endpoints() {
        let text = "c|v1::observability_name::c|v1\nc|v1::10.244.0.5:9080::cx_active::0\n\
                    c|v1::10.244.0.5:9080::weight::1\nc|v12::10.244.0.6:9080::weight::1\n";
        assert_eq!(endpoints(text, "c|v1"), BTreeSet::from(["10.244.0.5:9080"]));
    }
}
