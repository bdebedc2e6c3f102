//! Who gets in, under which mode.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::e2e::ctx::{Ctx, INJECTED};
use crate::e2e::{Figures, fixture};

/// For how long a pod without a sidecar must be refused.
const HOLD: Duration = Duration::from_secs(3);

/// STRICT refuses a pod without a sidecar and takes one with it, by each name of the server;
/// without the rule both get in.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 1, 0)?;
    let alias = include_str!("../manifests/alias.yaml").replace("NAMESPACE", &ctx.namespace);
    ctx.apply("alias.yaml", &alias)?;
    let plain = ctx.beside("plain", &[])?;
    let injected = ctx.beside("injected", &[INJECTED])?;
    fixture::client(&plain)?;
    fixture::client(&injected)?;
    let url = format!("http://server.{}:8080/bytes/7", ctx.namespace);
    let by_alias = format!("http://alias.{}:8080/bytes/7", ctx.namespace);
    ctx.say("without a rule");
    for client in [&plain, &injected] {
        client.until("an answer without a rule", || fixture::get_well(client, &url))?;
    }
    ctx.say("with STRICT");
    ctx.apply("strict.yaml", include_str!("../manifests/strict.yaml"))?;
    ctx.until("the refusal", || refused(&plain, &url))?;
    ctx.until("an answer by the server's second name", || fixture::get_well(&injected, &by_alias))?;
    let start = std::time::Instant::now();
    let mut refusals = 0;
    while start.elapsed() < HOLD {
        refused(&plain, &url)?;
        fixture::get_well(&injected, &url)?;
        refusals += 1;
    }
    ctx.say("without the rule again");
    ctx.kubectl(&["delete", "peerauthentication", "default"])?;
    ctx.until("an answer without the rule", || fixture::get_well(&plain, &url))?;
    fixture::get_well(&injected, &url)?;
    Ok(Figures::default().and(format!("{refusals} of {refusals} plain requests refused")))
}

fn refused(client: &Ctx, url: &str) -> Result<()> {
    match fixture::get(client, "client", "client", url) {
        Ok(answer) => bail!("it got in: {answer}"),
        Err(why) => {
            let why = format!("{why:#}");
            // Not for the lack of a name or an address.
            ensure!(why.contains("no answer"), "refused otherwise than by its connection: {why}");
            Ok(())
        }
    }
}
