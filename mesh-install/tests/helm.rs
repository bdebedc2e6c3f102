//! What Helm makes of the chart is what we make of it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use mesh_install::ObjectName;
use mesh_install::chart::{NAMESPACE, Release, profile, render};
use serde_json::{Value, json};

/// The same values through both.
fn compare(helm: &Path, values: Vec<Value>) {
    let folder = tempfile::tempdir().unwrap();
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart");
    let mut command = Command::new(helm);
    command.args(["template", "mesh"]).arg(chart);
    command.args(["--namespace", NAMESPACE, "--include-crds", "--kube-version", "1.34.0"]);
    for (index, value) in values.iter().enumerate() {
        let file = folder.path().join(format!("{index}.yaml"));
        std::fs::write(&file, value.to_string()).unwrap();
        command.arg("--values").arg(file);
    }
    let output = command.env("HOME", folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let documents = mesh_yaml::documents(&text).unwrap().into_iter();
    let theirs = documents.map(|document| document.value).filter(|value| !value.is_null());

    let release = Release { namespace: NAMESPACE.to_owned(), values };
    let ours = render(&release).unwrap().into_iter().map(|rendered| rendered.object);
    let (ours, theirs) = (by_name(ours), by_name(theirs));
    let names = |objects: &BTreeMap<ObjectName, Value>| -> Vec<ObjectName> {
        objects.keys().cloned().collect()
    };
    assert_eq!(names(&ours), names(&theirs));
    for (name, object) in &ours {
        let text = |object: &Value| mesh_yaml::write(object).unwrap();
        let theirs = &theirs[name];
        assert!(object == theirs, "ours:\n{}\nHelm's:\n{}", text(object), text(theirs));
    }
}

fn by_name(objects: impl Iterator<Item = Value>) -> BTreeMap<ObjectName, Value> {
    objects.map(|object| (ObjectName::of(&object), object)).collect()
}

#[test]
fn every_profile_and_every_value() {
    let Some(helm) = mesh_testkit::tool("helm") else { return };
    for name in ["default", "demo", "minimal"] {
        compare(&helm, vec![profile(name).unwrap(), json!({"createNamespace": true})]);
    }
    compare(&helm, vec![json!({"webhooks": {"besideIstio": true, "timeoutSeconds": 9}})]);
    compare(
        &helm,
        vec![
            json!({"pilot": {"nodeSelector": {"a": "b"}, "resources": {"limits": {"cpu": 2}}}}),
            json!({
                "revision": "canary",
                "hub": "registry.example.com:5000/mesh",
                "tag": "v1.0-rc.1",
                "imagePullPolicy": "Always",
                "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
                "pilot": {
                    "replicas": 3,
                    "nodeSelector": {"c": "d"},
                    "resources": {"requests": null},
                    "tolerations": [{"key": "x", "operator": "Exists", "tolerationSeconds": 60}],
                    "podAnnotations": {"on": "true", "text": "a: \"b\" #c"},
                    "extraArgs": ["--log-level=info,mesh_xds=debug", "--x={{ not a template }}"],
                },
                "injection": {
                    "image": "other/proxy:2",
                    "nativeSidecar": false,
                    "resources": {"limits": {"memory": "1Gi"}},
                },
                "ingressGateway": {
                    "replicas": 2,
                    "podAnnotations": {"x": "y"},
                    "service": {"type": "NodePort", "annotations": {"lb": "internal"}},
                },
            }),
        ],
    );
}

/// What we refuse, Helm refuses as well: they read one schema.
#[test]
fn bad_values() {
    let Some(helm) = mesh_testkit::tool("helm") else { return };
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart");
    for (set, path) in [
        ("pilot.replicas=0", "pilot.replicas"),
        ("pilot.replica=2", "replica"),
        ("revision=Canary", "revision"),
        ("injection.nativeSidecar=maybe", "injection.nativeSidecar"),
        ("ingressGateway.service.type=Any", "ingressGateway.service.type"),
    ] {
        let values = mesh_install::chart::parse_set(set).unwrap();
        let release = Release { namespace: NAMESPACE.to_owned(), values: vec![values] };
        let ours = render(&release).unwrap_err().to_string();
        assert!(ours.contains(path), "{set}: {ours}");
        let mut command = Command::new(&helm);
        command.args(["template", "mesh", "--kube-version", "1.34.0", "--set", set]).arg(&chart);
        let output = command.output().unwrap();
        let theirs = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && theirs.contains("values don't meet"),
            "{set}: {theirs}"
        );
    }
}
