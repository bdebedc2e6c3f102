//! What explains a failure: resources, events, logs, and the configuration of each proxy.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::ctx::{Ctx, PROXY, pod_name};
use super::mesh;
use crate::command;

/// Resources as kubectl prints them, by file.
const RESOURCES: [(&str, &[&str]); 4] = [
    ("resources.txt", &["get", "all,endpointslices,configmaps,leases", "--output=wide"]),
    ("events.txt", &["get", "events", "--sort-by=.lastTimestamp"]),
    ("describe.txt", &["describe", "pods"]),
    (
        "rules.yaml",
        &["get", "virtualservices,destinationrules,peerauthentications", "--output=yaml"],
    ),
];

/// Writes it all into the test's folder, as far as it can be had.
pub(super) fn everything(ctx: &Ctx) {
    eprintln!("   collecting what explains it into {}", ctx.folder.display());
    let mut namespaces = ctx.namespaces().unwrap_or_default();
    namespaces.push(mesh::NAMESPACE.to_owned());
    for namespace in namespaces {
        if let Err(why) = one_namespace(ctx, &namespace) {
            eprintln!("   of {namespace} not everything could be had: {why:#}");
        }
    }
    let nodes = ["describe", "nodes"];
    let _ = write(ctx, &nodes, &ctx.folder.join("nodes.txt"));
}

fn one_namespace(ctx: &Ctx, namespace: &str) -> Result<()> {
    let folder = ctx.folder.join(namespace);
    fs::create_dir_all(&folder)?;
    for (file, args) in RESOURCES {
        write(ctx, &[args, &["--namespace", namespace]].concat(), &folder.join(file))?;
    }
    let pods = ctx.mesh().kube.json(&["get", "pods", "--namespace", namespace])?;
    for pod in pods["items"].as_array().into_iter().flatten() {
        logs(ctx, namespace, pod, &folder)?;
        if containers(pod).any(|name| name == PROXY) {
            dump(ctx, namespace, &pod_name(pod), &folder)?;
        }
    }
    Ok(())
}

fn logs(ctx: &Ctx, namespace: &str, pod: &Value, folder: &Path) -> Result<()> {
    let name = pod_name(pod);
    for container in containers(pod) {
        let args = ["logs", &name, "--container", container, "--namespace", namespace];
        write(ctx, &args, &folder.join(format!("{name}.{container}.log")))?;
        let before = folder.join(format!("{name}.{container}.before.log"));
        let output = command::output(&mut ctx.mesh().kube.kubectl(&[&args[..], &["-p"]].concat()))?;
        if output.status.success() {
            fs::write(before, output.stdout)?;
        }
    }
    Ok(())
}

/// All of them, a native sidecar's too.
fn containers(pod: &Value) -> impl Iterator<Item = &str> {
    let of = |kind| pod["spec"][kind].as_array().into_iter().flatten();
    let all = of("initContainers").chain(of("containers"));
    all.filter_map(|container| container["name"].as_str())
}

fn dump(ctx: &Ctx, namespace: &str, pod: &str, folder: &Path) -> Result<()> {
    for page in ["config_dump", "clusters", "stats"] {
        let said = ctx.admin_of(namespace, pod, &format!("/{page}"));
        let said = said.unwrap_or_else(|why| format!("{why:#}\n"));
        fs::write(folder.join(format!("{pod}.{page}")), said)?;
    }
    Ok(())
}

/// What kubectl says, good or bad.
fn write(ctx: &Ctx, args: &[&str], path: &Path) -> Result<()> {
    let output = command::output(&mut ctx.mesh().kube.kubectl(args))?;
    fs::write(path, [output.stdout, output.stderr].concat())?;
    Ok(())
}
