//! The tests in their order, and the table of what came of them.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail, ensure};

use super::mesh::Mesh;
use super::{Ctx, Figures, collect, tests};
use crate::local_mesh::stopped;

/// One test.
pub(super) struct Test {
    pub(super) name: &'static str,
    /// What it shows, in one line.
    what: &'static str,
    run: fn(&Ctx) -> Result<Figures>,
}

const fn test(name: &'static str, what: &'static str, run: fn(&Ctx) -> Result<Figures>) -> Test {
    Test { name, what, run }
}

/// Stage by stage; the tests of a stage run side by side, as none of them measures a time or
/// changes the mesh. The first ones measure, while nothing else goes on in the cluster; the one
/// that leaves no mesh is the last.
static STAGES: [&[Test]; 10] = [
    &[test(
        "ready_overhead",
        "how much later a pod is ready for its sidecar",
        tests::ready_overhead::run,
    )],
    &[test("pilot_at_rest", "what the pilots use when nothing changes", tests::pilot_at_rest::run)],
    &[test("endpoint_gone", "how soon nobody asks a pod that ends", tests::endpoint_gone::run)],
    &[
        test(
            "bookinfo",
            "injected by hand, a page by the ingress, route set 50/50, well-known rules",
            tests::bookinfo::run,
        ),
        test(
            "webhook_equals_inject",
            "the webhook and `meshctl inject` give the same pods",
            tests::webhook_equals_inject::run,
        ),
        test(
            "mtls_strict_refuses_permissive_takes",
            "who has no sidecar gets in, but not with STRICT",
            tests::mtls::run,
        ),
        test(
            "gateway_api",
            "its kinds come while the mesh runs: a gateway of the mesh's class, routes, and away",
            tests::gateway_api::run,
        ),
        test("job_completes", "a Job ends though it has a sidecar", tests::job::run),
        test(
            "statefulset_talks_to_itself",
            "pods of a StatefulSet reach each other and themselves",
            tests::statefulset::run,
        ),
        test(
            "hot_restart_of_pod",
            "proxies are replaced under load: no request fails",
            tests::hot_restart::run,
        ),
    ],
    &[test(
        "rolling_update_under_load",
        "new pods of reviews: 0 of 100,000 requests fail",
        tests::rolling_update::run,
    )],
    &[test(
        "force_delete",
        "a pod gone at once costs only the requests that it had",
        tests::force_delete::run,
    )],
    &[test(
        "pilot_rollout_and_outage",
        "pilots replaced, then away for a minute: no request fails",
        tests::pilot_away::run,
    )],
    &[test(
        "certificate_rotation_under_load",
        "certificates that live 30 s: no request fails",
        tests::certificate_rotation::run,
    )],
    &[test(
        "revision_upgrade_and_back",
        "workloads move to a second control plane, and back",
        tests::revision::run,
    )],
    &[test("uninstall_leaves_nothing", "no resource of the mesh is left", tests::uninstall::run)],
];

/// All tests, in order.
fn all() -> impl Iterator<Item = &'static Test> {
    STAGES.into_iter().flatten()
}

/// The stages with those of these names, or all.
///
/// # Errors
/// When there is none of a name.
pub(super) fn choose(only: &[String]) -> Result<Vec<Vec<&'static Test>>> {
    for name in only {
        if !all().any(|test| test.name == name) {
            let names: Vec<_> = all().map(|test| test.name).collect();
            bail!("--only {name}: there is no such test, but {}", names.join(", "));
        }
    }
    let chosen = |test: &&Test| only.is_empty() || only.iter().any(|name| name == test.name);
    let stages = STAGES.iter().map(|stage| stage.iter().filter(chosen).collect::<Vec<_>>());
    Ok(stages.filter(|stage| !stage.is_empty()).collect())
}

/// For people.
pub(super) fn print_names() {
    for test in all() {
        println!("{:<37} {}", test.name, test.what);
    }
}

/// What came of a test, as the table has it.
struct Row {
    name: &'static str,
    took: Duration,
    outcome: Result<Figures>,
}

/// What all tests have in common.
pub(super) struct Run<'a> {
    pub(super) mesh: &'a Mesh,
    /// Where what explains a failure is kept.
    pub(super) reports: &'a Path,
    pub(super) stop: &'a AtomicBool,
    /// Leave the namespaces of what has failed.
    pub(super) keep: bool,
}

impl Run<'_> {
    /// Installs the mesh; what explains that it cannot be is kept.
    ///
    /// # Errors
    /// When it cannot be, or Ctrl-C has ended it.
    pub(super) fn install(&self) -> Result<Figures> {
        let outcome = self.mesh.install_timed();
        ensure!(!stopped(self.stop), "stopped");
        if outcome.is_err() {
            let folder = self.reports.join("install");
            collect::everything(&Ctx::new(self.mesh, "install", folder, self.stop));
        }
        outcome
    }

    /// Runs the tests, prints the table, and gives how many have failed.
    ///
    /// # Errors
    /// When Ctrl-C has ended it.
    pub(super) fn all(&self, stages: &[Vec<&'static Test>]) -> Result<usize> {
        let mut rows = Vec::new();
        for (index, stage) in stages.iter().enumerate() {
            eprintln!("\n== {} of {}", index + 1, stages.len());
            rows.extend(self.side_by_side(stage));
            if stopped(self.stop) {
                break;
            }
        }
        println!();
        rows.iter().for_each(print_row);
        if stopped(self.stop) {
            bail!("stopped");
        }
        Ok(rows.iter().filter(|row| row.outcome.is_err()).count())
    }

    fn side_by_side(&self, stage: &[&'static Test]) -> Vec<Row> {
        std::thread::scope(|scope| {
            let start = |test: &&'static Test| {
                let test = *test;
                (test.name, scope.spawn(move || self.one(test)))
            };
            let running: Vec<_> = stage.iter().map(start).collect();
            let end = |(name, running): (_, std::thread::ScopedJoinHandle<'_, Row>)| {
                let panicked = |_| Row {
                    name,
                    took: Duration::ZERO,
                    outcome: Err(anyhow!("the test itself panicked")),
                };
                running.join().unwrap_or_else(panicked)
            };
            running.into_iter().map(end).collect()
        })
    }

    fn one(&self, test: &'static Test) -> Row {
        eprintln!("-- {}: {}", test.name, test.what);
        let start = Instant::now();
        let ctx = Ctx::new(self.mesh, test.name, self.reports.join(test.name), self.stop);
        let outcome = ctx.create_namespace().and_then(|()| (test.run)(&ctx));
        let row = Row { name: test.name, took: start.elapsed(), outcome };
        match &row.outcome {
            Ok(figures) => ctx.say(format!("passed in {:.1} s: {figures}", row.took.as_secs_f64())),
            Err(why) => ctx.say(format!("FAILED after {:.1} s: {why:#}", row.took.as_secs_f64())),
        }
        if row.outcome.is_err() && !stopped(self.stop) {
            collect::everything(&ctx);
        }
        let stay = self.keep && row.outcome.is_err();
        if !stay && let Err(why) = ctx.delete_namespaces() {
            ctx.say(format!("its namespaces stay: {why:#}"));
        }
        row
    }
}

fn print_row(row: &Row) {
    let seconds = row.took.as_secs_f64();
    let (word, figures) = match &row.outcome {
        Ok(figures) => ("passed", figures.to_string()),
        Err(why) => ("FAILED", why.to_string().lines().next().unwrap_or_default().to_owned()),
    };
    println!("{:<37} {seconds:>6.1} s  {word}  {figures}", row.name);
}
