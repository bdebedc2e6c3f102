//! A StatefulSet whose pods ask each other, and themselves.

use anyhow::{Result, ensure};

use crate::e2e::ctx::{Ctx, INJECTED};
use crate::e2e::{Figures, fixture};

const PEERS: [&str; 3] = ["peer-0", "peer-1", "peer-2"];

/// Each pod reaches each other one by name, and itself; and is the one that answers.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    ctx.label_namespace(&[INJECTED])?;
    ctx.apply("statefulset.yaml", include_str!("../manifests/statefulset.yaml"))?;
    ctx.rolled_out("statefulset/peer")?;
    let mut pairs = 0;
    for from in PEERS {
        for to in PEERS {
            // A name is known when the cluster's DNS has heard of the pod.
            ctx.until(&format!("{from} to {to}"), || answered_by(ctx, from, to))?;
            pairs += 1;
        }
    }
    Ok(Figures::default().and(format!("{pairs} pairs of pods")))
}

fn answered_by(ctx: &Ctx, from: &str, to: &str) -> Result<()> {
    let answer = fixture::get(ctx, from, "peer", &format!("http://{to}.peers:8080/bytes/7"))?;
    let name = &answer["headers"]["x-served-by"];
    ensure!(answer["status"] == 200 && name == to, "{from} asked {to}: {answer}");
    Ok(())
}
