//! The tests in their order, and the table of what came of them.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

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

/// The one that leaves no mesh is the last.
static TESTS: [Test; 15] = [
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
    test("job_completes", "a Job ends though it has a sidecar", tests::job::run),
    test(
        "statefulset_talks_to_itself",
        "pods of a StatefulSet reach each other and themselves",
        tests::statefulset::run,
    ),
    test(
        "rolling_update_under_load",
        "new pods of reviews: 0 of 100,000 requests fail",
        tests::rolling_update::run,
    ),
    test(
        "force_delete",
        "a pod gone at once costs only the requests that it had",
        tests::force_delete::run,
    ),
    test("endpoint_gone", "how soon nobody asks a pod that ends", tests::endpoint_gone::run),
    test(
        "hot_restart_of_pod",
        "proxies are replaced under load: no request fails",
        tests::hot_restart::run,
    ),
    test(
        "pilot_rollout_and_outage",
        "pilots replaced, then away for a minute: no request fails",
        tests::pilot_away::run,
    ),
    test(
        "certificate_rotation_under_load",
        "certificates that live 15 s: no request fails",
        tests::certificate_rotation::run,
    ),
    test(
        "ready_overhead",
        "how much later a pod is ready for its sidecar",
        tests::ready_overhead::run,
    ),
    test("pilot_at_rest", "what the pilots use when nothing changes", tests::pilot_at_rest::run),
    test(
        "revision_upgrade_and_back",
        "workloads move to a second control plane, and back",
        tests::revision::run,
    ),
    test("uninstall_leaves_nothing", "no resource of the mesh is left", tests::uninstall::run),
];

/// Those of these names, or all.
///
/// # Errors
/// When there is none of a name.
pub(super) fn choose(only: &[String]) -> Result<Vec<&'static Test>> {
    for name in only {
        if !TESTS.iter().any(|test| test.name == name) {
            let names: Vec<_> = TESTS.iter().map(|test| test.name).collect();
            bail!("--only {name}: there is no such test, but {}", names.join(", "));
        }
    }
    let chosen = |test: &&Test| only.is_empty() || only.iter().any(|name| name == test.name);
    Ok(TESTS.iter().filter(chosen).collect())
}

/// For people.
pub(super) fn print_names() {
    for test in &TESTS {
        println!("{:<34} {}", test.name, test.what);
    }
}

/// What came of a test, as the table has it.
struct Row {
    name: &'static str,
    took: Duration,
    outcome: Result<Figures>,
}

/// Runs the tests, prints the table, and gives how many have failed. What explains a failure
/// is kept in `reports`; with `keep` the test's namespace too.
///
/// # Errors
/// When Ctrl-C has ended it.
pub(super) fn run(
    mesh: &Mesh,
    tests: &[&'static Test],
    reports: &Path,
    stop: &AtomicBool,
    keep: bool,
) -> Result<usize> {
    let mut rows = Vec::new();
    for (index, test) in tests.iter().enumerate() {
        eprintln!("\n== {} ({} of {}): {}", test.name, index + 1, tests.len(), test.what);
        let row = run_one(mesh, test, reports, stop, keep);
        match &row.outcome {
            Ok(figures) => eprintln!("   passed in {:.1} s: {figures}", row.took.as_secs_f64()),
            Err(why) => eprintln!("   FAILED after {:.1} s: {why:#}", row.took.as_secs_f64()),
        }
        rows.push(row);
        if stopped(stop) {
            break;
        }
    }
    println!();
    rows.iter().for_each(print_row);
    if stopped(stop) {
        bail!("stopped");
    }
    Ok(rows.iter().filter(|row| row.outcome.is_err()).count())
}

fn run_one(mesh: &Mesh, test: &'static Test, reports: &Path, stop: &AtomicBool, keep: bool) -> Row {
    let start = Instant::now();
    let ctx = Ctx::new(mesh, test.name, reports.join(test.name), stop);
    let outcome = ctx.create_namespace().and_then(|()| (test.run)(&ctx));
    let took = start.elapsed();
    if outcome.is_err() && !stopped(stop) {
        collect::everything(&ctx);
    }
    let stay = keep && outcome.is_err();
    if !stay && let Err(why) = ctx.delete_namespaces() {
        eprintln!("   its namespaces stay: {why:#}");
    }
    Row { name: test.name, took, outcome }
}

fn print_row(row: &Row) {
    let seconds = row.took.as_secs_f64();
    let (word, figures) = match &row.outcome {
        Ok(figures) => ("passed", figures.to_string()),
        Err(why) => ("FAILED", why.to_string().lines().next().unwrap_or_default().to_owned()),
    };
    println!("{:<34} {seconds:>6.1} s  {word}  {figures}", row.name);
}
