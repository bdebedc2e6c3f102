//! What each profile installs: golden files.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::path::Path;

use mesh_install::chart::{NAMESPACE, Release, profile, render};
use serde_json::{Value, json};

/// `UPDATE_GOLDEN=1` writes the file anew; read the difference before you commit it.
fn compare(name: &str, values: Vec<Value>) {
    let release = Release { namespace: NAMESPACE.to_owned(), values };
    let objects = render(&release).unwrap();
    let own = objects.iter().filter(|rendered| !rendered.file.starts_with("crds/"));
    let texts = own.map(|one| format!("---\n# Source: {}\n{}\n", one.file, one.text.trim()));
    let text: String = texts.collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{} differs; UPDATE_GOLDEN=1 writes it anew", path.display());
}

#[test]
fn default() {
    compare("default.yaml", vec![json!({"createNamespace": true}), profile("default").unwrap()]);
}

#[test]
fn demo() {
    compare("demo.yaml", vec![profile("demo").unwrap()]);
}

#[test]
fn beside_istio() {
    compare("beside-istio.yaml", vec![json!({"webhooks": {"besideIstio": true}})]);
}

#[test]
fn what_the_chart_sets_for_sidecars_is_what_they_take() {
    let injection = json!({
        "image": "other/proxy:2", "caAddress": "ca:15012", "tokenAudience": "a", "proxyUid": 1338,
        "nativeSidecar": false, "concurrency": 4, "drainTime": "30s", "minimumDrain": 7,
        "logLevel": "debug", "proxyLogLevel": "debug", "proxyBinary": "envoy",
    });
    let values = json!({"imagePullSecrets": [{"name": "s"}], "injection": injection});
    for values in [json!({}), values, profile("demo").unwrap()] {
        let release = Release { namespace: NAMESPACE.to_owned(), values: vec![values] };
        let objects = render(&release).unwrap();
        let is_it =
            |one: &&mesh_install::chart::Rendered| one.file.ends_with("injector-configmap.yaml");
        let map = &objects.iter().find(is_it).unwrap().object;
        let text = map["data"]["config.yaml"].as_str().unwrap();
        let config = mesh_inject::Config::from_yaml(text).unwrap();
        assert_eq!(config.discovery_address, "mesh-pilot.mesh-system.svc:15012");
    }
}

/// A pilot that runs has the settings of before for a minute; one that is made anew has not.
#[test]
fn new_settings_of_sidecars_make_new_pilots() {
    let digests = |values: Value| {
        let release = Release { namespace: NAMESPACE.to_owned(), values: vec![values] };
        let objects = render(&release).unwrap();
        let of = |file: &str| objects.iter().find(|one| one.file.ends_with(file)).unwrap();
        let settings = &of("injector-configmap.yaml").object["data"]["config.yaml"];
        let config = mesh_inject::Config::from_yaml(settings.as_str().unwrap()).unwrap();
        let template = &of("/deployment.yaml").object["spec"]["template"]["metadata"];
        let of_pilots = template["annotations"]["sidecar.mesh/settings"].as_str().unwrap();
        assert_eq!(config.settings_digest.as_deref(), Some(of_pilots));
        of_pilots.to_owned()
    };
    let before = digests(json!({}));
    assert_eq!(digests(json!({"pilot": {"replicas": 3}})), before);
    assert_ne!(digests(json!({"injection": {"image": "other/proxy:2"}})), before);
    assert_ne!(digests(json!({"injection": {"concurrency": 3}})), before);
}

#[test]
fn minimal() {
    compare("minimal.yaml", vec![profile("minimal").unwrap()]);
}

#[test]
fn canary_with_everything_set() {
    let values = json!({
        "revision": "canary",
        "hub": "registry.example.com/mesh",
        "tag": "1.2",
        "imagePullPolicy": "Always",
        "imagePullSecrets": [{"name": "registry"}],
        "trustDomain": "example.com",
        "pilot": {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"key": "control", "operator": "Exists"}],
            "podAnnotations": {"a": "b: c"},
            "extraArgs": ["--auto-mtls=false"],
        },
        "injection": {"image": "other/proxy:2", "minimumDrain": "7s"},
        "ingressGateway": {
            "nodeSelector": {"edge": "true"},
            "tolerations": [{"key": "edge", "operator": "Exists"}],
            "podAnnotations": {"x": "y"},
            "service": {
                "annotations": {"lb": "internal"},
                "ipFamilyPolicy": "PreferDualStack",
                "ipFamilies": ["IPv6", "IPv4"],
            },
        },
    });
    compare("canary.yaml", vec![values]);
}
