//! The bookinfo sample in the cluster.

use anyhow::{Context, Result};

use super::ctx::{Ctx, pod_name};

const MANIFEST: &str = "samples/bookinfo/bookinfo.yaml";
const DEPLOYMENTS: [&str; 6] =
    ["details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3", "productpage-v1"];

/// The end of each readiness probe, and the same for a machine that is busy with other things:
/// that makes nobody unready.
const PROBED_PORT: &str = "              path: /health\n              port: 9080\n";
const PATIENTLY: &str = "              path: /health\n              port: 9080\n            \
                         timeoutSeconds: 10\n            failureThreshold: 30\n";

/// All of it, injected by `meshctl inject`; ready.
pub(super) fn inject_and_deploy(ctx: &Ctx) -> Result<()> {
    let manifest = ctx.mesh().with_images(&ctx.sample(MANIFEST)?);
    let manifest = ctx.write("bookinfo.yaml", &manifest)?;
    let injected = ctx.meshctl(&["inject", "--file", &manifest])?;
    ctx.apply("bookinfo.injected.yaml", &injected)?;
    DEPLOYMENTS.iter().try_for_each(|name| ctx.rolled_out(&format!("deployment/{name}")))
}

/// Only version v1 of reviews, in so many replicas; ready.
pub(super) fn reviews(ctx: &Ctx, replicas: u32) -> Result<()> {
    let manifest = ctx.sample(MANIFEST)?.replace(PROBED_PORT, PATIENTLY);
    ctx.apply("bookinfo.yaml", &manifest)?;
    let others = DEPLOYMENTS.iter().filter(|name| **name != "reviews-v1");
    let others: Vec<_> = others.map(|name| format!("deployment/{name}")).collect();
    let mut delete = vec!["delete"];
    delete.extend(others.iter().map(String::as_str));
    ctx.kubectl(&delete)?;
    ctx.kubectl(&["scale", "deployment/reviews-v1", &format!("--replicas={replicas}")])?;
    ctx.rolled_out("deployment/reviews-v1")
}

/// The names of its pods.
pub(super) fn pods(ctx: &Ctx) -> Result<Vec<String>> {
    let pods = ctx.pods("app in (details, ratings, reviews, productpage)")?;
    Ok(pods.iter().map(pod_name).collect())
}

/// The address of the one pod of this version of reviews, with its port.
pub(super) fn address_of_reviews(ctx: &Ctx, version: &str) -> Result<String> {
    let pods = ctx.pods(&format!("app=reviews,version={version}"))?;
    let address = pods.first().and_then(|pod| pod["status"]["podIP"].as_str());
    Ok(format!("{}:9080", address.with_context(|| format!("no pod of reviews {version}"))?))
}
