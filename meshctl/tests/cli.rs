//! What commands print, and their exit codes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod control_plane;

use std::path::Path;
use std::process::{Command, Output};

use control_plane::ControlPlane;
use mesh_proto::mesh::v1::Rejection;
use mesh_testkit::{copy_program, require_command, require_root};

fn meshctl(state: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(arguments).env("MESH_LOCAL_STATE", state).env_remove("MESH_PILOT");
    command.output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn error(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn without_a_mesh_it_says_how_to_start_one() {
    let state = tempfile::tempdir().unwrap();
    for arguments in [&["route", "get"][..], &["proxy-status"], &["local", "ps"]] {
        let output = meshctl(state.path(), arguments);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(error(&output).contains("start one with `meshctl local up`"), "{output:?}");
        assert_eq!(error(&output).lines().count(), 1, "{output:?}");
    }
    assert_eq!(meshctl(state.path(), &["route", "put"]).status.code(), Some(2));
}

#[test]
fn route_set_waits_for_the_proxies() {
    let control_plane = ControlPlane::start(None);
    let state = control_plane.state();
    let output = meshctl(&state, &["route", "set", "reviews", "v1=50", "v3=50", "--dry-run"]);
    assert!(out(&output).contains("kind: VirtualService"), "{output:?}");
    assert!(control_plane.applied().is_empty(), "a dry run applies nothing");
    let output = meshctl(&state, &["route", "set", "reviews", "v1=50", "v3=50"]);
    let expected = "reviews: v1 50 %, v3 50 % — 6 of 6 proxies have it after 31 ms\n";
    assert_eq!(out(&output), expected, "{output:?}");
    assert_eq!(control_plane.applied().len(), 1);
    let output = meshctl(&state, &["route", "get", "reviews"]);
    assert!(out(&output).contains("v1 50%, v3 50%"), "{output:?}");
    let output = meshctl(&state, &["proxy-status"]);
    assert!(out(&output).contains("reviews-v1-0.default"), "{output:?}");
}

#[test]
fn rules_of_each_kind_are_listed_and_removed() {
    let control_plane = ControlPlane::start(None);
    let state = control_plane.state();
    assert_eq!(out(&meshctl(&state, &["rule", "get"])), "no rules\n");
    meshctl(&state, &["route", "set", "reviews", "v2"]);
    let table = "KIND            NAMESPACE  NAME\nVirtualService  default    reviews\n";
    assert_eq!(out(&meshctl(&state, &["rule", "get"])), table);
    assert_eq!(out(&meshctl(&state, &["rule", "get", "PeerAuthentication"])), "no rules\n");
    let output = meshctl(&state, &["rule", "get", "-o", "yaml"]);
    assert!(out(&output).contains("kind: VirtualService"), "{output:?}");

    let output = meshctl(&state, &["rule", "delete", "VirtualService", "shop/reviews"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("no such rule"), "{output:?}");
    let output = meshctl(&state, &["rule", "delete", "VirtualService", "reviews"]);
    let expected = "VirtualService default/reviews is gone — 6 of 6 proxies have it after 31 ms\n";
    assert_eq!(out(&output), expected, "{output:?}");
    assert!(control_plane.applied().is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_and_applies_nothing() {
    let control_plane = ControlPlane::start(None);
    for (arguments, expected) in [
        (["reviews", "v1=50", "v9=50"], "no version \"v9\""),
        (["reviews", "v1=50", "v3=60"], "110"),
        (["nobody", "v1=50", "v3=50"], "no service \"nobody\""),
    ] {
        let output = meshctl(&control_plane.state(), &[&["route", "set"], &arguments[..]].concat());
        assert_eq!(output.status.code(), Some(1));
        assert!(error(&output).contains(expected), "{output:?}");
    }
    assert!(control_plane.applied().is_empty());
}

#[test]
fn a_proxy_that_refuses_is_a_failure_that_names_it() {
    let control_plane = ControlPlane::start(Some(Rejection {
        proxy: "reviews-v1-0".to_owned(),
        error: "no such cluster".to_owned(),
        ..Default::default()
    }));
    let output = meshctl(&control_plane.state(), &["route", "set", "reviews", "v2"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(error(&output).contains("reviews-v1-0: no such cluster"), "{output:?}");
}

#[test]
fn inject_prints_the_file_with_sidecars_or_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pod.yaml");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a}]}\n";
    std::fs::write(&file, pod).unwrap();
    let file = file.to_str().unwrap();
    let output = meshctl(folder.path(), &["inject", "--offline", "-f", file]);
    assert!(out(&output).contains("name: mesh-proxy"), "{output:?}");
    let output =
        meshctl(folder.path(), &["inject", "--offline", "-f", file, "-f", "/no/such/file"]);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    assert!(error(&output).contains("/no/such/file"), "{output:?}");
}

#[test]
fn inject_takes_folders_and_standard_input_and_prints_json() {
    let folder = tempfile::tempdir().unwrap();
    let pod = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec: {{containers: [{{name: a}}]}}\n"
        )
    };
    std::fs::write(folder.path().join("b.yaml"), pod("b")).unwrap();
    std::fs::write(folder.path().join("a.yml"), pod("a")).unwrap();
    std::fs::write(folder.path().join("notes.txt"), "no YAML: [").unwrap();
    let settings = folder.path().join("settings");
    std::fs::write(&settings, "image: hub/proxy:1\nlogLevel: warn\n").unwrap();
    let (path, settings) = (folder.path().to_str().unwrap(), settings.to_str().unwrap());
    let arguments =
        ["inject", "-f", path, "-o", "json", "--inject-config", settings, "--image", "mine"];
    let output = meshctl(folder.path(), &arguments);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let names = ["a", "b"].map(|name| serde_json::json!(name));
    assert_eq!(
        [&list["items"][0], &list["items"][1]].map(|pod| &pod["metadata"]["name"]),
        [&names[0], &names[1]]
    );
    let sidecar = &list["items"][0]["spec"]["initContainers"][1];
    assert_eq!(sidecar["image"], "mine", "the command line wins");
    assert!(sidecar["args"].to_string().contains(r#""--log-level","warn""#), "{sidecar}");

    let mut command = Command::new(env!("CARGO_BIN_EXE_meshctl"));
    command.args(["inject", "--offline", "-f", "-", "--kubernetes-version", "1.28"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, pod("a").as_bytes()).unwrap();
    drop(input);
    let classic = out(&child.wait_with_output().unwrap());
    assert!(!classic.contains("restartPolicy: Always"), "{classic}");

    std::fs::write(settings, "imagee: a\n").unwrap();
    let output = meshctl(folder.path(), &arguments);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(1), ""));
    assert!(error(&output).contains("imagee"), "{output:?}");
    let service = folder.path().join("service.yaml");
    std::fs::write(&service, "apiVersion: v1\nkind: Service\n").unwrap();
    let service = service.to_str().unwrap();
    let output = meshctl(folder.path(), &["inject", "--offline", "-f", service]);
    assert!(error(&output).contains("nothing to inject"), "{output:?}");

    let nowhere = ["inject", "--kubeconfig", "/no/such/config", "-f", service];
    let output = meshctl(folder.path(), &nowhere);
    assert_eq!(output.status.code(), Some(3), "a cluster that is named must be there: {output:?}");
    assert!(error(&output).contains("no cluster is named"), "{output:?}");
}

#[test]
fn without_root_up_says_so() {
    let (true, Some(setpriv)) = (require_root(), require_command("setpriv")) else { return };
    let folder = tempfile::tempdir_in("/tmp").unwrap();
    // Where every user can run it.
    let meshctl = folder.path().join("meshctl");
    copy_program(Path::new(env!("CARGO_BIN_EXE_meshctl")), &meshctl);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    std::fs::write(folder.path().join("none.yaml"), "").unwrap();
    let mut command = Command::new(setpriv);
    command.args(["--reuid=65534", "--clear-groups", "--"]).arg(&meshctl);
    command.args(["local", "up", "-f", "none.yaml"]).current_dir(folder.path());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(error(&output).contains("run it with sudo"), "{output:?}");
}

#[test]
fn a_broken_rule_beside_workloads_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("all.yaml");
    let text = "kind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, command: [x]}]}\n---\n\
                apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n\
                spec: {hosts: 1}\n";
    std::fs::write(&file, text).unwrap();
    for command in ["apply", "up"] {
        // Where there is neither a mesh nor a folder of binaries: the rule comes first.
        let mut arguments = vec!["local", command, "-f", file.to_str().unwrap()];
        arguments.extend((command == "up").then_some("--bin-dir=/no/such/folder"));
        let output = meshctl(&folder.path().join("mesh"), &arguments);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(error(&output).contains("all.yaml document 2"), "{output:?}");
    }
}
