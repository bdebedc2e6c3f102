use std::collections::BTreeSet;

use super::*;

fn release(values: Value) -> Release {
    Release { namespace: NAMESPACE.to_owned(), values: vec![values] }
}

fn names(objects: &[Rendered]) -> Vec<String> {
    let name = |rendered: &Rendered| {
        let Value::Object(object) = &rendered.object else { return String::new() };
        format!(
            "{} {}",
            object["kind"].as_str().unwrap_or_default(),
            object["metadata"]["name"].as_str().unwrap_or_default()
        )
    };
    objects.iter().map(name).collect()
}

#[test]
fn the_chart_has_the_version_of_meshctl() {
    assert_eq!(app_version().unwrap(), env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_object_has_our_label_and_a_name_of_its_own() {
    for values in [json!({}), json!({"revision": "canary", "createNamespace": true})] {
        let objects = render(&release(values)).unwrap();
        for object in &objects {
            let labels = &object.object["metadata"]["labels"];
            assert_eq!(labels["app.kubernetes.io/part-of"], "mesh", "{}", object.text);
        }
        let names = names(&objects);
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len(), "{names:?}");
    }
}

#[test]
fn two_revisions_share_nothing_but_what_belongs_to_none() {
    let names = |revision: &str| -> BTreeSet<String> {
        let values = json!({"revision": revision, "ingressGateway": {"enabled": false}});
        names(&render(&release(values)).unwrap()).into_iter().collect()
    };
    let (one, other) = (names("default"), names("canary"));
    let shared: Vec<_> = one.intersection(&other).collect();
    assert!(shared.iter().all(|name| name.starts_with("CustomResourceDefinition ")), "{shared:?}");
}

#[test]
fn profiles_are_taken_and_another_is_refused_with_their_names() {
    for name in ["default", "demo", "minimal"] {
        render(&release(profile(name).unwrap())).unwrap();
    }
    let error = profile("demos").unwrap_err().to_string();
    assert_eq!(error, "there is no profile \"demos\"; there are default, demo, minimal");
}

#[test]
fn every_bad_value_is_named_and_nothing_rendered() {
    let error = render(&release(json!({
        "revision": "Canary",
        "pilot": {"replicas": 0, "resource": {}},
        "ingressGateway": null,
    })))
    .unwrap_err();
    let text = error.to_string();
    for expected in ["revision: \"Canary\" is not", "pilot.replicas: 0", "pilot.resource: there"] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn what_is_laid_over_is_merged_replaced_or_taken_away() {
    let release = Release {
        namespace: NAMESPACE.to_owned(),
        values: vec![
            json!({"pilot": {"replicas": 3, "nodeSelector": {"a": "b"}}}),
            json!({"pilot": {"nodeSelector": {"a": null, "c": "d"}, "extraArgs": ["--x"]}}),
        ],
    };
    let values = values(&release).unwrap();
    assert_eq!(values["pilot"]["replicas"], 3);
    assert_eq!(values["pilot"]["nodeSelector"], json!({"c": "d"}));
    assert_eq!(values["pilot"]["extraArgs"], json!(["--x"]));
    assert_eq!(values["pilot"]["logLevel"], "info");
}

#[test]
fn what_sidecars_would_not_be_made_of_is_refused_before_it_is_installed() {
    let error = render(&release(json!({"injection": {"drainTime": "soon"}}))).unwrap_err();
    assert!(error.to_string().starts_with("injection.drainTime: "), "{error}");
    let error = mesh_inject::Config::from_yaml("trustDomain: ''").unwrap_err();
    let said = by_value(&error, &json!({"drainTime": "20s"}));
    assert!(said.starts_with("trustDomain: "), "{said}");
    for (ttl, is_taken) in
        [("10s", true), ("9s", false), ("24h", true), ("90d", true), ("0d", false), ("91d", false)]
    {
        let rendered = render(&release(json!({"pilot": {"workloadCertTtl": ttl}})));
        assert_eq!(rendered.is_ok(), is_taken, "{ttl}");
    }
}
