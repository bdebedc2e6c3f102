//! The mesh leaves the cluster as it was.

use anyhow::{Result, ensure};

use crate::e2e::Figures;
use crate::e2e::ctx::Ctx;

const KINDS: &str = "all,customresourcedefinitions,clusterroles,clusterrolebindings,roles,\
                     rolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,\
                     configmaps,secrets,serviceaccounts,leases,poddisruptionbudgets,namespaces";

/// What the names of our resources have in them.
const OURS: [&str; 3] = ["mesh", "istio.io", "gateway.networking.k8s.io"];
/// Of the cluster itself, and of this test.
const NOT_OURS: [&str; 2] = ["mesh-control-plane", "mesh-e2e"];

/// `meshctl uninstall --purge` takes every resource away.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    let before = resources(ctx)?;
    ensure!(before.len() > 10, "only {before:?} are there before");
    ctx.mesh().uninstall()?;
    // Namespaces and what garbage collection removes are gone a moment later.
    ctx.until("nothing to be left", || {
        let left = resources(ctx)?;
        ensure!(left.is_empty(), "{left:#?} are left");
        Ok(())
    })?;
    Ok(Figures::default().and(format!("{} resources before, none after", before.len())))
}

fn resources(ctx: &Ctx) -> Result<Vec<String>> {
    let list = ctx.mesh().kube.read(&["get", KINDS, "--all-namespaces", "--output=name"])?;
    let ours = |line: &&str| {
        let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
        has(&OURS) && !has(&NOT_OURS)
    };
    Ok(list.lines().filter(ours).map(str::to_owned).collect())
}
