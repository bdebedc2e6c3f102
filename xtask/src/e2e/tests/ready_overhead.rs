//! How much later a pod is ready when it has a sidecar.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::e2e::ctx::{Ctx, INJECTED};
use crate::e2e::{Figures, fixture};

/// Pods of either kind, in turn.
const PAIRS: u32 = 4;
/// Kubelet looks at its containers once a second, and only then goes on to a pod's next step. As
/// a pod is ready just after a look, pods made right then would all be as lucky or unlucky.
const LOOK: Duration = Duration::from_secs(1);
/// Seconds.
const LIMIT: f64 = 2.0;

/// The same pod with a sidecar and without, in turn, made at moments all over kubelet's second:
/// the mean of what the one takes longer.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    let injected = ctx.beside("injected", &[INJECTED])?;
    // Images are unpacked at their first use.
    seconds_to_ready(&injected)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for pair in 0..PAIRS {
        let later = LOOK * pair / PAIRS;
        ctx.pass(later)?;
        without.push(seconds_to_ready(ctx)?);
        ctx.pass(later)?;
        with.push(seconds_to_ready(&injected)?);
    }
    ctx.say(format!("without {without:.2?}, with a sidecar {with:.2?}"));
    let (with, without) = (mean(&with), mean(&without));
    Ok(Figures::default()
        .within("a sidecar makes ready later by", with - without, LIMIT, "s")
        .and(format!("{with:.1} s for {without:.1} s, means of {PAIRS}")))
}

fn seconds_to_ready(ctx: &Ctx) -> Result<f64> {
    let start = Instant::now();
    fixture::client(ctx)?;
    let took = start.elapsed().as_secs_f64();
    ctx.kubectl(&["delete", "pod", "client", "--force", "--grace-period=0"])?;
    Ok(took)
}

fn mean(times: &[f64]) -> f64 {
    times.iter().sum::<f64>() / times.len() as f64
}
