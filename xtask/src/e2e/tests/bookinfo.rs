//! The story that the README tells.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};

use crate::bookinfo::rules::{self, RARE, Shares};
use crate::bookinfo::split::Split;
use crate::bookinfo::traffic;
use crate::e2e::ctx::Ctx;
use crate::e2e::{Figures, bookinfo, memory, mesh};

const ALL: Shares = &[("v1", 1.0 / 3.0), ("v2", 1.0 / 3.0), ("v3", 1.0 / 3.0)];
const HALVES: Shares = &[("v1", 0.5), ("v3", 0.5)];

/// For the large sample: by chance once in ten thousand runs.
const SIGNIFICANCE: f64 = 1e-4;

/// Inject, deploy, the page through the ingress, `route set`, and the well-known rules.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    bookinfo::inject_and_deploy(ctx)?;
    let gateway = ctx.sample("samples/bookinfo/rules/bookinfo-gateway.yaml")?;
    ctx.apply("bookinfo-gateway.yaml", &gateway)?;
    let ingress = ctx.forward(mesh::NAMESPACE, "service/mesh-ingressgateway", 80)?;
    let page = ingress.address();
    ctx.until("a good page with each version", || rules::settle(page, &[], ALL))?;

    ctx.say("route set reviews v1=50 v3=50");
    let said = ctx.meshctl(&["route", "set", "reviews", "v1=50", "v3=50"])?;
    ctx.say(said.trim());
    // When `route set` is back, every proxy has the rule.
    let tally = traffic::sample(page, 2000, &[])?;
    rules::fits(&tally, HALVES, SIGNIFICANCE)?;
    sidecar_shows_the_split(ctx)?;
    refuses_what_does_not_exist(ctx, page)?;

    ctx.meshctl(&["route", "delete", "reviews"])?;
    rules::settle(page, &[], ALL).context("after route delete reviews")?;
    ctx.say("the well-known rule files");
    rules::check(page, |file| {
        let text = std::fs::read_to_string(file)?;
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        ctx.apply(&name, &text)
    })?;
    // After all of that they have given back what only the start needs.
    let memory = memory::of_sidecars(ctx, &bookinfo::pods(ctx)?)?;
    Ok(memory.and(format!("with v1=50 v3=50: {tally}")))
}

/// The admin port of productpage's sidecar has two weighted versions with the pods' addresses.
fn sidecar_shows_the_split(ctx: &Ctx) -> Result<()> {
    let pod = ctx.pod("app=productpage")?;
    let split = Split::of(&ctx.namespace, [("v1", 50), ("v3", 50)]);
    split.is_in(&ctx.admin(&pod, "/config_dump")?)?;
    let clusters = ctx.admin(&pod, "/clusters")?;
    let found = split.addresses(&clusters);
    let mut expected = BTreeMap::new();
    for (name, version) in found.keys().zip(["v1", "v3"]) {
        expected.insert(*name, bookinfo::address_of_reviews(ctx, version)?);
    }
    for (name, address) in &expected {
        let one = BTreeSet::from([address.as_str()]);
        ensure!(found.get(name) == Some(&one), "/clusters: {found:?}, expected {expected:?}");
    }
    ctx.say(format!("productpage's sidecar has {found:?}"));
    Ok(())
}

fn refuses_what_does_not_exist(ctx: &Ctx, page: SocketAddr) -> Result<()> {
    for args in [["route", "set", "reviews", "v9=100"], ["route", "set", "nobody", "v1=100"]] {
        let Err(error) = ctx.meshctl(&args) else {
            anyhow::bail!("{} was accepted", args.join(" "));
        };
        ctx.say(format!("refused, as it must be: {error:#}"));
    }
    rules::fits(&traffic::sample(page, 500, &[])?, HALVES, RARE).context("after refused rules")
}
