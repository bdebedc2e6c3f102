//! The Gateway API: a `Gateway` of the mesh's class, and routes for it and for a Service.

use anyhow::{Context, Result, ensure};

use crate::e2e::ctx::Ctx;
use crate::e2e::{Figures, fixture};
use crate::http::Client;
use crate::tools;

const CLASS: &str = "gatewayclass.gateway.networking.k8s.io/mesh";
const GATEWAY: &str = "gateway.gateway.networking.k8s.io/edge";
/// What the pilot makes for it.
const MADE: [&str; 3] =
    ["deployment.apps/edge-mesh", "service/edge-mesh", "serviceaccount/edge-mesh"];
/// Its body is text.
const PATH: &str = "/bytes/1";
const REQUESTS: usize = 20;

/// The kinds come while the mesh runs; its class is there, a gateway takes requests and leaves
/// nothing behind.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    let crds = tools::gateway_api_crds()?;
    let crds = crds.to_str().context("the path of Go's modules is not UTF-8")?;
    let were_there = is_there(ctx, "crd/gateways.gateway.networking.k8s.io")?;
    if !were_there {
        ctx.kubectl(&["apply", "--server-side", "--filename", crds])?;
    }
    let figures = story(ctx)?;
    if !were_there {
        ctx.kubectl(&["delete", "--filename", crds, "--timeout=120s"])?;
    }
    Ok(figures)
}

fn story(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 2, 0)?;
    fixture::client(ctx)?;
    ctx.until("the GatewayClass", || ctx.kubectl(&["get", CLASS]).map(drop))?;
    ctx.wait_for("Accepted", CLASS)?;
    ctx.apply("gateway_api.yaml", include_str!("../manifests/gateway_api.yaml"))?;
    ctx.wait_for("Programmed", GATEWAY)?;
    for made in MADE {
        ensure!(is_there(ctx, made)?, "{made} was not made");
    }
    let edge = ctx.forward(&ctx.namespace, "service/edge-mesh", 80)?;
    let ask = |path: &str| Client::new(edge.address()).get(path, &[]);
    ctx.until("an answer through the gateway", || {
        let answer = ask(PATH)?;
        ensure!(answer.status == 200, "status {}", answer.status);
        Ok(())
    })?;
    for _ in 0..REQUESTS {
        ensure!(ask(PATH)?.status == 200, "a later request failed");
    }
    let elsewhere = ask("/elsewhere")?.status;
    ensure!(elsewhere == 404, "/elsewhere, which no route takes: status {elsewhere}");
    ctx.until("the route of the Service", || by_the_route(ctx))?;

    ctx.kubectl(&["delete", GATEWAY])?;
    ctx.until("what was made for the gateway to be gone", || {
        for made in MADE {
            ensure!(!is_there(ctx, made)?, "{made} is there");
        }
        Ok(())
    })?;
    Ok(Figures::default().and(format!("{REQUESTS} requests through its own gateway")))
}

fn by_the_route(ctx: &Ctx) -> Result<()> {
    let url = format!("http://{}{PATH}", fixture::SERVER);
    let answer = fixture::get(ctx, "client", "client", &url)?;
    ensure!(answer["headers"]["x-route"] == "within", "{answer}");
    Ok(())
}

fn is_there(ctx: &Ctx, what: &str) -> Result<bool> {
    let found = ctx.kubectl(&["get", what, "--ignore-not-found", "--output=name"])?;
    Ok(!found.trim().is_empty())
}
