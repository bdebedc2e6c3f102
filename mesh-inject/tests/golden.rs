//! Each `tests/golden/<case>.in.yaml` and the `<case>.out.yaml` it must become.
//! `UPDATE_GOLDEN=1` writes the outputs anew.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use std::fs;
use std::path::Path;

use mesh_inject::{Config, NativeSidecar, inject_yaml};

fn check(case: &str, config: &Config) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let input = fs::read_to_string(folder.join(format!("{case}.in.yaml"))).unwrap();
    let output = inject_yaml(&input, config).unwrap().text;
    let golden = folder.join(format!("{case}.out.yaml"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &output).unwrap();
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    assert_eq!(output, expected, "{case}: run with UPDATE_GOLDEN=1 when the change is meant");
    assert_eq!(inject_yaml(&output, config).unwrap().text, output, "{case}: a second time");
}

#[test]
fn deployment_and_service() {
    check("deployment", &Config::default());
}

#[test]
fn pod_with_annotations() {
    check("annotations", &Config::default());
}

#[test]
fn classic_sidecar() {
    check("classic", &Config { native_sidecar: NativeSidecar::Never, ..Config::default() });
}

#[test]
fn left_alone() {
    check("left-alone", &Config::default());
}

#[test]
fn probes_hooks_and_metrics_go_to_the_agent() {
    check("probes", &Config::default());
}

#[test]
fn tproxy_needs_a_capability() {
    check("tproxy", &Config::default());
}
