//! `meshctl inject` and the webhook give the same pod.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::e2e::ctx::{Ctx, INJECTED};
use crate::e2e::{Figures, fixture};
use crate::paths;

/// Where a resource has its pod.
const PODS: [&str; 3] = ["/spec/jobTemplate/spec/template", "/spec/template", ""];

/// Each pod of mesh-inject's golden files and of bookinfo goes through both, and then through
/// the API server's defaults, without being kept.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    let plain = ctx.beside("plain", &[])?;
    let webhook = ctx.beside("webhook", &[INJECTED])?;
    let (mut pods, mut files) = (0, 0);
    for file in manifests()? {
        let path = file.to_str().context("the checkout's path is not UTF-8")?;
        let before = pods_of(&plain, path)?;
        let documents = before.iter().map(|pod| format!("---\n{pod}\n")).collect::<String>();
        let documents = plain.write("pods.yaml", &documents)?;
        let injected = ctx.meshctl(&["inject", "--file", &documents])?;
        let after = pods_of(&plain, &plain.write("injected.yaml", &injected)?)?;
        ensure!(before.len() == after.len(), "{path}: {} pods, {}", before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            let by_webhook = admitted(&webhook, before).with_context(|| path.to_owned())?;
            let by_meshctl = admitted(&plain, after).with_context(|| path.to_owned())?;
            let difference = fixture::difference(&by_meshctl, &by_webhook, "");
            ensure!(
                difference.is_none(),
                "{path}: {}: meshctl and webhook differ at {}",
                before["metadata"]["name"],
                difference.unwrap_or_default()
            );
            pods += 1;
        }
        files += 1;
    }
    Ok(Figures::default().and(format!("{pods} pods of {files} files")))
}

fn manifests() -> Result<Vec<PathBuf>> {
    let folder = paths::root().join("mesh-inject/tests/golden");
    let mut files = vec![paths::root().join("samples/bookinfo/bookinfo.yaml")];
    for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.to_str().is_some_and(|path| path.ends_with(".in.yaml")) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The pods of every resource in a file, as pods of their own.
fn pods_of(ctx: &Ctx, path: &str) -> Result<Vec<Value>> {
    // Of kubectl's commands it is one that takes kinds that no server knows. There is no such
    // label to be taken away.
    let args = ["label", "--local", "--filename", path, "none-"];
    let text = ctx.mesh().kube.read(&[&args[..], &["--output=json"]].concat())?;
    let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut pods = Vec::new();
    for document in documents {
        let document = document.with_context(|| path.to_owned())?;
        let items = document["items"].as_array().cloned().unwrap_or_else(|| vec![document]);
        for (index, item) in items.iter().enumerate() {
            pods.extend(pod_of(item, index));
        }
    }
    Ok(pods)
}

fn pod_of(item: &Value, index: usize) -> Option<Value> {
    let has_pod = |at: &&Value| at["spec"]["containers"].is_array();
    let pod = PODS.iter().filter_map(|path| item.pointer(path)).find(has_pod)?;
    let mut metadata = json!({"name": format!("pod-{index}")});
    for part in ["labels", "annotations"] {
        if let Some(value) = pod["metadata"].get(part) {
            metadata[part] = value.clone();
        }
    }
    let mut spec = pod["spec"].clone();
    // What a StatefulSet's controller adds.
    for claim in item["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let volume = json!({"name": claim["metadata"]["name"], "emptyDir": {}});
        match &mut spec["volumes"] {
            Value::Array(volumes) => volumes.push(volume),
            none => *none = json!([volume]),
        }
    }
    Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}))
}

/// The pod as the API server would keep it.
fn admitted(ctx: &Ctx, pod: &Value) -> Result<Value> {
    if let Some(account) = pod["spec"]["serviceAccountName"].as_str() {
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                             "metadata": {"name": account}});
        ctx.apply("account.json", &account.to_string())?;
    }
    let file = ctx.write("pod.json", &pod.to_string())?;
    let args = ["create", "--dry-run=server", "--validate=false", "--filename", &file];
    let mut kept = ctx.json(&args)?;
    unify(&mut kept);
    let metadata = &kept["metadata"];
    Ok(json!({
        "labels": metadata["labels"], "annotations": metadata["annotations"],
        "spec": kept["spec"],
    }))
}

/// The volume of the pod's own token has another name each time, and it comes before or after
/// the mesh's: no order of volumes means anything.
fn unify(value: &mut Value) {
    match value {
        Value::String(text) if text.starts_with("kube-api-access-") => {
            "kube-api-access".clone_into(text);
        }
        Value::Array(items) => items.iter_mut().for_each(unify),
        Value::Object(map) => {
            map.values_mut().for_each(unify);
            for name in ["volumes", "volumeMounts"] {
                if let Some(Value::Array(items)) = map.get_mut(name) {
                    items.sort_by_key(|item| (item["name"].to_string(), item.to_string()));
                }
            }
        }
        _ => {}
    }
}
