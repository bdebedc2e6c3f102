//! A Job ends, though a sidecar was beside it.

use anyhow::Result;

use crate::e2e::ctx::{Ctx, PROXY};
use crate::e2e::{Figures, fixture};

/// The Job asks through the mesh, and is complete when its own container is.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, 1, 0)?;
    let start = std::time::Instant::now();
    ctx.apply("job.yaml", include_str!("../manifests/job.yaml"))?;
    ctx.wait_for("Complete", "job/once")?;
    let took = start.elapsed().as_secs_f64();
    let pod = ctx.pod("app=once")?;
    // That there was one, and that it has ended.
    let of = |kind: &str| format!("jsonpath={{.status.{kind}[?(@.name=='{PROXY}')].state}}");
    let get = |kind: &str| ctx.kubectl(&["get", "pod", &pod, "--output", &of(kind)]);
    let state = get("initContainerStatuses")? + &get("containerStatuses")?;
    anyhow::ensure!(state.contains("terminated"), "the sidecar of {pod}: {state:?}");
    Ok(Figures::default().and(format!("complete {took:.1} s after it was made")))
}
