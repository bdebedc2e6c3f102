//! What the commands for a cluster say when there is none, or when they are used wrongly.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

fn meshctl(kubeconfig: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(arguments).env("KUBECONFIG", kubeconfig).env("HOME", "/nonexistent");
    command.env_remove("KUBERNETES_SERVICE_HOST").stdin(Stdio::null()).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Of a cluster that nobody serves.
fn kubeconfig(folder: &Path) -> std::path::PathBuf {
    let port = mesh_testkit::free_port();
    let file = folder.join("config");
    let text = format!(
        "{{apiVersion: v1, kind: Config, current-context: a,\n\
         contexts: [{{name: a, context: {{cluster: a, user: a}}}}],\n\
         clusters: [{{name: a, cluster: {{server: 'http://127.0.0.1:{port}'}}}}],\n\
         users: [{{name: a, user: {{}}}}]}}\n"
    );
    std::fs::write(&file, text).unwrap();
    file
}

const COMMANDS: [&[&str]; 5] = [
    &["install", "--yes"],
    &["upgrade", "--yes"],
    &["uninstall", "--yes"],
    &["check"],
    &["bug-report"],
];

#[test]
fn without_a_cluster_it_says_how_to_name_one() {
    for arguments in COMMANDS {
        let output = meshctl(Path::new("/nonexistent"), arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        assert!(error(&output).contains("--kubeconfig FILE"), "{output:?}");
    }
}

#[test]
fn a_cluster_that_does_not_answer_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let config = kubeconfig(folder.path());
    for arguments in COMMANDS {
        let output = meshctl(&config, arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {output:?}");
        assert!(error(&output).contains("127.0.0.1"), "{output:?}");
        assert!(error(&output).contains("does not answer"), "{output:?}");
    }
}

#[test]
fn a_manifest_needs_no_cluster_and_bad_values_are_named_all_at_once() {
    let nowhere = Path::new("/nonexistent");
    let generate = ["manifest", "generate", "--mesh-namespace", "elsewhere", "--set", "hub=a.b/c"];
    let output = meshctl(nowhere, &generate);
    assert!(output.status.success(), "{output:?}");
    let text = out(&output);
    assert!(text.contains("image: a.b/c/pilot:"), "{text}");
    assert!(text.contains("namespace: elsewhere") && !text.contains("mesh-system"), "{text}");

    let bad = ["install", "--set", "pilot.replicas=none,pilot.replica=1", "--set", "hub=true"];
    let output = meshctl(nowhere, &bad);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    for expected in ["pilot.replicas: \"none\"", "pilot.replica: there is no such", "hub: true"] {
        assert!(error(&output).contains(expected), "{expected}: {output:?}");
    }
    let output = meshctl(nowhere, &["manifest", "generate", "--profile", "big"]);
    assert!(error(&output).contains("there are default, demo, minimal"), "{output:?}");
}
