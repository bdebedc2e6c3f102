//! How much later a pod is ready for its sidecar.

use std::time::Instant;

use anyhow::Result;

use crate::e2e::ctx::{Ctx, INJECTED};
use crate::e2e::{Figures, fixture};

/// Pods of either kind, in turn.
const PAIRS: usize = 3;
/// Seconds.
const LIMIT: f64 = 2.0;

/// The same pod with a sidecar and without, in turn: the median of what the one takes longer.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    let injected = ctx.beside("injected", &[INJECTED])?;
    // Images are unpacked at their first use.
    seconds_to_ready(&injected)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..PAIRS {
        without.push(seconds_to_ready(ctx)?);
        with.push(seconds_to_ready(&injected)?);
    }
    ctx.say(format!("without {without:.2?}, with a sidecar {with:.2?}"));
    let (with, without) = (median(with), median(without));
    Ok(Figures::default()
        .within("a sidecar makes ready later by", with - without, LIMIT, "s")
        .and(format!("{with:.1} s for {without:.1} s")))
}

fn seconds_to_ready(ctx: &Ctx) -> Result<f64> {
    let start = Instant::now();
    fixture::client(ctx)?;
    let took = start.elapsed().as_secs_f64();
    ctx.kubectl(&["delete", "pod", "client", "--force", "--grace-period=0"])?;
    Ok(took)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
