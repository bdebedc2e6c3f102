//! New pods for old ones while the old ones are asked.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::e2e::ctx::{Ctx, INJECTED};
use crate::e2e::load::{self, Load};
use crate::e2e::{Figures, bookinfo};

/// Requests, of which none may fail.
const REQUESTS: u64 = 100_000;
/// Some minutes where it would be one: others use the machine too.
const LIMIT: Duration = Duration::from_secs(900);

/// Rolling updates of reviews, one after the other, until 100,000 requests are answered.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    ctx.label_namespace(&[INJECTED])?;
    bookinfo::reviews(ctx, 2)?;
    let clients = [load::http1("reviews:9080", "/reviews/0", 16)];
    let load = Load::start(ctx, "load", &clients)?;
    let mut updates = 0;
    let start = std::time::Instant::now();
    while load.requests()? < REQUESTS || updates < 2 {
        ensure!(start.elapsed() < LIMIT, "{} requests after {LIMIT:?}", load.requests()?);
        ctx.kubectl(&["rollout", "restart", "deployment/reviews-v1"])?;
        ctx.rolled_out("deployment/reviews-v1")?;
        updates += 1;
        ctx.say(format!("{updates} updates, {} requests", load.requests()?));
    }
    let report = load.stop()?;
    report.none_failed()?;
    Ok(Figures::default().and(format!("{updates} updates")).and(report.to_string()))
}
