//! Each `tests/golden/<case>.in.yaml`, and the `<case>.out.yaml` it must become with the
//! settings of `<case>.settings.yaml`; `<case>.report.txt` has what users are told of it.
//! `UPDATE_GOLDEN=1` writes outputs and reports anew.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use std::fs;
use std::path::{Path, PathBuf};

use mesh_inject::{Config, PodReport, inject_yaml};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn cases() -> Vec<String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let cases = files.filter_map(|name| Some(name.to_str()?.strip_suffix(".in.yaml")?.to_owned()));
    let mut cases: Vec<String> = cases.collect();
    cases.sort();
    cases
}

fn check(case: &str) {
    let file = |end: &str| folder().join(format!("{case}.{end}"));
    let input = fs::read_to_string(file("in.yaml")).unwrap();
    let settings = fs::read_to_string(file("settings.yaml")).unwrap_or_default();
    let config = Config::from_yaml(&settings).unwrap();
    let injected = inject_yaml(&input, &config).unwrap();
    let lines = injected.pods.iter().flat_map(PodReport::lines);
    let report: String = lines.map(|line| line + "\n").collect();
    same(case, &injected.text, &file("out.yaml"));
    same(case, &report, &file("report.txt"));
    let again = inject_yaml(&injected.text, &config).unwrap().text;
    assert_eq!(again, injected.text, "{case}: a second time");
}

/// A golden file that would be empty is not there.
fn same(case: &str, found: &str, golden: &Path) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        match found.is_empty() {
            true => drop(fs::remove_file(golden)),
            false => fs::write(golden, found).unwrap(),
        }
    }
    let expected = fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(found, expected, "{case}: run with UPDATE_GOLDEN=1 when the change is meant");
}

#[test]
fn manifests_become_what_they_must() {
    let cases = cases();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in cases {
        check(&case);
    }
}
