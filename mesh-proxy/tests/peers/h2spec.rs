//! h2spec, through a listener.

use std::process::Command;

use mesh_testkit::{Upstream, tool};

use crate::site::Site;

/// What fails with Envoy, too, which passes 133 of the 145: who does not speak HTTP/2 is told
/// so in HTTP/1.
const NOT_PASSED: [&str; 1] = ["http2/3.5 Sends invalid connection preface"];

const CASES: usize = 145;

#[test]
fn every_case_that_envoy_passes() {
    let Some(h2spec) = tool("h2spec") else { return };
    // It reads bodies to their end, so that what is wrong with one is seen before the answer.
    let upstream = Upstream::start("a");
    let site = Site::new(upstream.address(), "http_protocol_options");
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.xml");
    let mut command = Command::new(h2spec);
    command.args(["--host", "127.0.0.1", "--timeout", "20", "--port"]);
    command.arg(site.address.port().to_string()).arg("--junit-report").arg(&report);
    let output = command.output().unwrap();
    // It has bytes of frames in it.
    let report = String::from_utf8_lossy(&std::fs::read(&report).unwrap()).into_owned();
    let (total, failed) = outcome(&report);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(total, CASES, "{said}");
    let unexpected: Vec<_> = failed.iter().filter(|case| !NOT_PASSED.contains(&&***case)).collect();
    assert!(unexpected.is_empty(), "{unexpected:?}\n{said}");
}

/// How many cases there are, and which failed, of a report in JUnit's form.
fn outcome(report: &str) -> (usize, Vec<String>) {
    let mut failed = Vec::new();
    let mut total = 0;
    for case in report.split("<testcase ").skip(1) {
        total += 1;
        let attribute = |name: &str| {
            let (_, rest) = case.split_once(&format!("{name}=\""))?;
            rest.split('"').next()
        };
        let (Some(package), Some(name)) = (attribute("package"), attribute("classname")) else {
            continue;
        };
        if case.contains("<failure") || case.contains("<error") {
            failed.push(format!("{package} {name}"));
        }
    }
    (total, failed)
}

#[test]
fn a_report_is_read() {
    let report = r#"<testsuite><testcase package="http2/3.5" classname="good" time="0.1"></testcase>
        <testcase package="http2/7" classname="bad" time="2"><failure>x</failure></testcase>"#;
    assert_eq!(outcome(report), (2, vec!["http2/7 bad".to_owned()]));
}
