//! The control plane replaced, and away.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use crate::e2e::ctx::{Ctx, DEADLINE, INJECTED, pod_name};
use crate::e2e::load::{self, Load};
use crate::e2e::{Figures, fixture, mesh};

const AWAY: Duration = Duration::from_secs(60);
const PILOT: &str = "deployment/mesh-pilot";

/// A rollout of the pilots, then a minute without any: traffic goes on, the cluster heals, and
/// nothing gets past the mesh.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 2, 0)?;
    let plain = ctx.beside("plain", &[])?;
    let late = ctx.beside("late", &[INJECTED])?;
    let clients = [load::paced(fixture::SERVER, fixture::PATH, 8, 500)];
    let load = Load::start(ctx, "load", &clients)?;
    ctx.say("rollout of the pilots");
    let system = ctx.in_namespace(mesh::NAMESPACE);
    let admitted = rollout(&system, &late)?;
    ctx.say(format!("{admitted} pods were injected meanwhile; both pilots away for {AWAY:?}"));
    let replicas = system.kubectl(&["get", PILOT, "--output=jsonpath={.spec.replicas}"])?;
    system.kubectl(&["scale", PILOT, "--replicas=0"])?;
    let away = without_pilots(ctx, &plain, &late);
    system.kubectl(&["scale", PILOT, &format!("--replicas={}", replicas.trim())])?;
    system.rolled_out(PILOT)?;
    away?;
    ctx.say("they are back");
    late.until("a pod with a sidecar", || fixture::client(&late))?;
    let url = format!("http://server.{}:8080/bytes/7", ctx.namespace);
    late.until("an answer to a new pod", || fixture::get_well(&late, &url))?;
    let report = load.stop()?;
    report.none_failed()?;
    Ok(Figures::default().and(report.to_string()))
}

/// New pilots for the old ones, with a pod that is injected (and not kept) at every moment;
/// how many those were.
fn rollout(system: &Ctx, late: &Ctx) -> Result<u32> {
    let pod = late.mesh().with_images(include_str!("../manifests/client.yaml"));
    let pod = late.write("admitted.yaml", &pod)?;
    let before = all_pods(system)?;
    system.kubectl(&["rollout", "restart", PILOT])?;
    let (start, mut admitted) = (Instant::now(), 0);
    loop {
        ensure!(start.elapsed() < DEADLINE, "the rollout goes on after {DEADLINE:?}");
        admit(late, &pod)?;
        admitted += 1;
        let said = system.kubectl(&["rollout", "status", PILOT, "--watch=false"])?;
        if said.contains("successfully") && all_pods(system)? == before {
            return Ok(admitted);
        }
    }
}

/// The API server may write to a connection that a leaving pilot has just closed, and does not
/// ask again for itself, as whoever makes pods does.
fn admit(late: &Ctx, pod: &str) -> Result<()> {
    let create = || late.kubectl(&["create", "--dry-run=server", "--filename", pod]).map(drop);
    let was_closed = |why: &anyhow::Error| {
        let why = format!("{why:#}");
        ["broken pipe", "connection reset", "EOF"].iter().any(|end| why.contains(end))
    };
    match create() {
        Err(why) if was_closed(&why) => {
            late.say(format!("once more, after a connection that a pilot had closed: {why:#}"));
            create()
        }
        done => done,
    }
}

/// How many pods of the pilot there are, those among them that are about to end.
fn all_pods(system: &Ctx) -> Result<usize> {
    let list = system.json(&["get", "pods", "--selector=app=mesh-pilot"])?;
    Ok(list["items"].as_array().map_or(0, Vec::len))
}

fn without_pilots(ctx: &Ctx, plain: &Ctx, late: &Ctx) -> Result<()> {
    let system = ctx.in_namespace(mesh::NAMESPACE);
    let start = Instant::now();
    system.until("the pilots' end", || {
        let left = all_pods(&system)?;
        ensure!(left == 0, "{left} of them are there");
        Ok(())
    })?;
    // Where nothing is injected the cluster heals as ever.
    fixture::client(plain)?;
    let kube_system = ctx.in_namespace("kube-system");
    let dns = kube_system.pods("k8s-app=kube-dns")?;
    if let Some(pod) = dns.first() {
        kube_system.kubectl(&["delete", "pod", &pod_name(pod), "--timeout=300s"])?;
        kube_system.rolled_out("deployment/coredns")?;
    }
    // And where pods are to have sidecars, none comes without.
    match late.apply("client.yaml", include_str!("../manifests/client.yaml")) {
        Ok(()) => bail!("a pod was made in {} with no webhook to inject it", late.namespace),
        Err(why) => ctx.say(format!("refused, as it must be: {why:#}")),
    }
    ctx.pass(AWAY.saturating_sub(start.elapsed()))
}
