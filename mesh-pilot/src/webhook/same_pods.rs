//! The webhook gives each pod of mesh-inject's golden files what `meshctl inject` has given its
//! template: with what controllers and the API server add to a pod before they ask.

use std::path::{Path, PathBuf};

use axum::http::{HeaderMap, HeaderValue, header};
use k8s_openapi::ByteString;
use mesh_inject::Config;
use serde_json::{Value, json};

use super::{inject, review};

const HASH: &str = "5d4f7c8b9";
const API_ACCESS: &str = "kube-api-access-x7x2z";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../mesh-inject/tests/golden")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap_or_default()
}

/// The pods of a golden file, each as its controller makes it.
fn pods(text: &str) -> Vec<Value> {
    let documents = mesh_yaml::documents(text).unwrap().into_iter();
    let objects = documents.flat_map(|document| match document.value {
        list if list["kind"] == "List" => list["items"].as_array().unwrap().clone(),
        object => vec![object],
    });
    objects.filter_map(|object| pod(&object)).collect()
}

fn pod(object: &Value) -> Option<Value> {
    let (template, owner) = match object["kind"].as_str()? {
        "Pod" => return Some(object.clone()),
        "CronJob" => (&object["spec"]["jobTemplate"]["spec"]["template"], "Job"),
        "Deployment" => (&object["spec"]["template"], "ReplicaSet"),
        kind @ ("StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job") => {
            (&object["spec"]["template"], kind)
        }
        _ => return None,
    };
    let name = object["metadata"]["name"].as_str().unwrap();
    let mut metadata = template["metadata"].clone();
    let (name, label, value) = match object["kind"].as_str()? {
        "Deployment" => (format!("{name}-{HASH}"), "pod-template-hash", HASH),
        "CronJob" => (format!("{name}-29354890"), "batch.kubernetes.io/job-name", name),
        "Job" => (name.to_owned(), "batch.kubernetes.io/job-name", name),
        _ => (name.to_owned(), "controller-revision-hash", HASH),
    };
    metadata["labels"][label] = json!(value);
    metadata["generateName"] = json!(format!("{name}-"));
    let owner = json!({"apiVersion": "apps/v1", "kind": owner, "name": name, "uid": "1",
        "controller": true, "blockOwnerDeletion": true});
    metadata["ownerReferences"] = json!([owner]);
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}))
}

fn containers(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod["spec"].as_object_mut().unwrap().iter_mut();
    let lists =
        spec.filter(|(field, _)| ["initContainers", "containers"].contains(&field.as_str()));
    lists.flat_map(|(_, list)| list.as_array_mut().unwrap())
}

fn names(pod: &Value) -> Vec<Value> {
    containers(&mut pod.clone()).map(|container| container["name"].clone()).collect()
}

/// The admission of service accounts comes before the webhooks.
fn with_api_access(pod: &mut Value, names: &[Value]) {
    for container in containers(pod).filter(|container| names.contains(&container["name"])) {
        let mount = json!({"name": API_ACCESS, "readOnly": true,
            "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"});
        push(&mut container["volumeMounts"], mount);
    }
    push(&mut pod["spec"]["volumes"], json!({"name": API_ACCESS, "projected": {"sources": []}}));
}

fn push(list: &mut Value, item: Value) {
    if list.is_null() {
        *list = json!([]);
    }
    list.as_array_mut().unwrap().push(item);
}

/// Adds what is missing.
fn defaults(fields: &mut Value, defaults: &Value) {
    for (key, value) in defaults.as_object().unwrap() {
        if fields[key].is_null() {
            fields[key] = value.clone();
        }
    }
}

/// What the API server fills in, of what injection has to do with.
fn with_defaults(pod: &mut Value) {
    defaults(
        &mut pod["spec"],
        &json!({"dnsPolicy": "ClusterFirst", "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30, "serviceAccountName": "default",
            "schedulerName": "default-scheduler", "securityContext": {},
            "enableServiceLinks": true}),
    );
    for container in containers(pod) {
        let tagged = container["image"].as_str().is_some_and(|image| image.contains(':'));
        let policy = if tagged { "IfNotPresent" } else { "Always" };
        defaults(
            container,
            &json!({"imagePullPolicy": policy, "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File"}),
        );
        for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
            if container.get(probe).is_some() {
                let numbers = json!({"timeoutSeconds": 1, "periodSeconds": 10,
                    "successThreshold": 1, "failureThreshold": 3});
                defaults(&mut container[probe], &numbers);
                handler(&mut container[probe]);
            }
        }
        for hook in ["postStart", "preStop"] {
            if container["lifecycle"].get(hook).is_some() {
                handler(&mut container["lifecycle"][hook]);
            }
        }
        if container["lifecycle"].is_null() {
            container.as_object_mut().unwrap().remove("lifecycle");
        }
    }
}

fn handler(handler: &mut Value) {
    for (kind, values) in
        [("httpGet", json!({"scheme": "HTTP", "path": "/"})), ("grpc", json!({"service": ""}))]
    {
        if handler.get(kind).is_some() {
            defaults(&mut handler[kind], &values);
        }
    }
}

/// Its keys in the API server's order, which is not the user's.
fn sorted(value: &Value) -> Value {
    let mut sorted = value.clone();
    sorted.sort_all_objects();
    sorted
}

/// Where the API server's volume is among the others says nothing.
fn in_order(mut pod: Value) -> Value {
    let by = |key: &'static str| move |item: &Value| item[key].as_str().map(str::to_owned);
    let volumes = pod["spec"]["volumes"].as_array_mut().into_iter();
    volumes.for_each(|volumes| volumes.sort_by_key(by("name")));
    for container in containers(&mut pod) {
        let mounts = container["volumeMounts"].as_array_mut().into_iter();
        mounts.for_each(|mounts| mounts.sort_by_key(by("mountPath")));
    }
    pod
}

/// The pod after the webhook's answer.
fn injected(pod: &Value, config: &Config) -> Value {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "1", "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "namespace": "default", "operation": "CREATE", "object": pod}});
    let headers = HeaderMap::from_iter([(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    )]);
    let request = review::read(&headers, review.to_string().as_bytes()).unwrap();
    let answer = review::write(&request, inject::decide(&request, config));
    let response = &answer["response"];
    assert_eq!(response["allowed"], true, "{response}");
    let mut pod = pod.clone();
    if let Some(patch) = response.get("patch") {
        let ByteString(patch) = serde_json::from_value(patch.clone()).unwrap();
        let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
        json_patch::patch(&mut pod, &patch).unwrap();
    }
    pod
}

#[test]
fn the_webhook_gives_the_pods_that_meshctl_inject_gives() {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let cases: Vec<String> = files
        .filter_map(|name| Some(name.to_str()?.strip_suffix(".in.yaml")?.to_owned()))
        .collect();
    let (mut compared, mut with_sidecar) = (0, 0);
    for case in cases {
        let config = Config::from_yaml(&read(&format!("{case}.settings.yaml"))).unwrap();
        let before = pods(&read(&format!("{case}.in.yaml")));
        let after = pods(&read(&format!("{case}.out.yaml")));
        assert_eq!(before.len(), after.len(), "{case}");
        for (mut pod, mut expected) in before.into_iter().zip(after) {
            let own = names(&pod);
            with_sidecar += usize::from(expected != pod);
            with_api_access(&mut pod, &own);
            with_defaults(&mut pod);
            with_api_access(&mut expected, &own);
            with_defaults(&mut expected);
            let mut found = injected(&sorted(&pod), &config);
            with_defaults(&mut found);
            let (found, expected) = (in_order(found), in_order(expected));
            let text = |pod: &Value| serde_json::to_string_pretty(&sorted(pod)).unwrap();
            assert_eq!(text(&found), text(&expected), "{case}");
            compared += 1;
        }
    }
    assert!(compared >= 40 && with_sidecar >= 40, "{compared} pods, {with_sidecar} with sidecars");
}
