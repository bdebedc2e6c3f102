//! From manifests to pods: which there are, with sidecars, and what each container runs.
//! Pure but for looking up commands.

mod addresses;
mod commands;
mod container;
mod env;
mod hosts;
mod volumes;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::time::Duration;

use mesh_inject::{Outcome, inject_pod};
use serde::Deserialize;
use serde_json::Value;

pub(crate) use addresses::{
    Addresses, GATEWAY, PILOT_PORT, POD_NETWORK, PREFIX_LENGTH, SERVICE_NETWORK,
};
pub(crate) use commands::Commands;
pub use commands::Images;
pub(crate) use container::{Check, CheckKind, ContainerPlan, Role};
pub(crate) use env::{Downward, expand, resolve};
pub(crate) use hosts::hosts_file;
pub(crate) use volumes::{VolumeKind, VolumePlan};

use crate::error::{Error, Result};
use crate::manifest::{Key, Manifests, PodSpec, Service, check_label};

/// How pods are made from manifests.
#[derive(Debug, Clone)]
pub struct PodOptions {
    /// Adds sidecars to pods that have none and do not refuse one; `false` runs the
    /// manifests as they are.
    pub inject: bool,
    /// Another proxy for the sidecars of a deployment or pod, by its name.
    pub proxy_binaries: BTreeMap<String, PathBuf>,
    /// What runs in the place of each image.
    pub images: Images,
    /// Where commands are looked for first.
    pub bin_dir: PathBuf,
    /// The user of containers that do not ask for one; neither 0 nor the proxy's 1337.
    pub user: u32,
}

/// One pod that is to run.
#[derive(Debug, Clone)]
pub(crate) struct PodPlan {
    pub(crate) key: Key,
    /// The deployment that it is of.
    pub(crate) deployment: Option<String>,
    /// Changes when the pod must be started anew.
    pub(crate) revision: u64,
    pub(crate) labels: BTreeMap<String, String>,
    /// The whole pod, with its sidecar.
    pub(crate) object: Value,
    pub(crate) spec: PodSpec,
    pub(crate) injected: bool,
    /// Init containers and native sidecars, in order.
    pub(crate) init: Vec<ContainerPlan>,
    pub(crate) containers: Vec<ContainerPlan>,
    pub(crate) volumes: Vec<VolumePlan>,
    /// Another proxy's file on the host, to be seen inside the pod.
    pub(crate) proxy_binary: Option<PathBuf>,
    /// Between SIGTERM and SIGKILL.
    pub(crate) grace: Duration,
}

/// Every pod of the manifests.
pub(crate) fn pods(
    manifests: &Manifests,
    options: &PodOptions,
    commands: &Commands,
) -> Result<BTreeMap<Key, PodPlan>> {
    let mut plans = BTreeMap::new();
    let mut used = Vec::new();
    let mut add = |object: Value, deployment: Option<&str>, revision: u64, at: &str| {
        let plan = pod(object, deployment, revision, options, commands)
            .map_err(|message| Error::manifest(at, message))?;
        let name = deployment.unwrap_or(&plan.key.name).to_owned();
        used.push(name);
        plans.insert(plan.key.clone(), plan);
        Ok::<_, Error>(())
    };
    for deployment in manifests.deployments.values() {
        let (name, proxy) =
            (&deployment.key.name, options.proxy_binaries.get(&deployment.key.name));
        let revision = hash((deployment.template.to_string(), proxy));
        for number in 0..deployment.replicas {
            let pod = deployment.pod(&format!("{name}-{:05x}-{number}", revision & 0xf_ffff));
            add(pod, Some(name), revision, &deployment.at)?;
        }
    }
    for manifest in manifests.pods.values() {
        let revision = hash(manifest.pod.to_string());
        add(manifest.pod.clone(), None, revision, &manifest.at)?;
    }
    match options.proxy_binaries.keys().find(|name| !used.contains(name)) {
        Some(name) => Err(Error::failed(format!(
            "--proxy-binary {name}=…: there is no deployment or pod of this name; there are: {}",
            used.join(", ")
        ))),
        None => Ok(plans),
    }
}

fn hash(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

fn pod(
    mut object: Value,
    deployment: Option<&str>,
    revision: u64,
    options: &PodOptions,
    commands: &Commands,
) -> std::result::Result<PodPlan, String> {
    let key = crate::manifest::key_of(&object).ok_or("metadata.name is missing")?;
    let wanted = options.proxy_binaries.get(deployment.unwrap_or(&key.name));
    let proxy_binary = wanted.map(|path| commands.proxy_binary(&key, path)).transpose()?;
    let injected = options.inject && inject(&mut object, proxy_binary.as_ref())?;
    let has_sidecar = injected || object.to_string().contains(mesh_inject::STATUS_ANNOTATION);
    if proxy_binary.is_some() && !injected {
        return Err("--proxy-binary is for pods that get their sidecar here".to_owned());
    }
    let spec = PodSpec::deserialize(&object["spec"]).map_err(|error| format!("spec: {error}"))?;
    check(&spec)?;
    let labels = object["metadata"].get("labels").cloned().unwrap_or_default();
    let labels = Option::<BTreeMap<String, String>>::deserialize(labels)
        .map_err(|error| format!("metadata.labels: {error}"))?
        .unwrap_or_default();
    let (init, containers) = container::all(&spec, options, commands)?;
    Ok(PodPlan {
        volumes: volumes::all(&spec, options.user)?,
        deployment: deployment.map(str::to_owned),
        grace: Duration::from_secs(spec.termination_grace_period_seconds.unwrap_or(30)),
        proxy_binary: wanted.cloned(),
        injected: has_sidecar,
        key,
        revision,
        labels,
        object,
        spec,
        init,
        containers,
    })
}

fn check(spec: &PodSpec) -> std::result::Result<(), String> {
    if spec.containers.is_empty() {
        return Err("spec.containers: expected at least one".to_owned());
    }
    if spec.host_network {
        return Err("spec.hostNetwork is not run on one machine; take it out".to_owned());
    }
    for container in spec.init_containers.iter().chain(&spec.containers) {
        check_label("a container's name", &container.name)?;
    }
    spec.volumes.iter().try_for_each(|volume| check_label("a volume's name", &volume.name))
}

/// Whether the pod got a sidecar.
fn inject(object: &mut Value, proxy: Option<&PathBuf>) -> std::result::Result<bool, String> {
    let config = mesh_inject::Config {
        discovery_address: format!("{GATEWAY}:{PILOT_PORT}"),
        proxy_binary: proxy.map(|path| path.display().to_string()),
        // The endpoints' removal reaches the other proxies of this machine in milliseconds.
        minimum_drain_s: 1,
        drain_time_s: 5,
        ..mesh_inject::Config::default()
    };
    let (mut metadata, mut spec) = (object["metadata"].take(), object["spec"].take());
    let report =
        inject_pod(&mut metadata, &mut spec, &config).map_err(|error| error.to_string())?;
    object["metadata"] = metadata;
    object["spec"] = spec;
    Ok(report.outcome == Outcome::Injected)
}

impl PodPlan {
    /// The port of this pod that a service's port leads to.
    pub(crate) fn target_port(&self, target: &crate::manifest::TargetPort) -> Option<u16> {
        use crate::manifest::TargetPort;
        match target {
            TargetPort::Number(number) => Some(*number),
            TargetPort::Name(name) => {
                let mut ports = self.spec.containers.iter().flat_map(|container| &container.ports);
                ports
                    .find(|port| port.name.as_deref() == Some(name))
                    .map(|port| port.container_port)
            }
        }
    }

    /// Whether the service's traffic may go to this pod.
    pub(crate) fn is_backend_of(&self, service: &Service) -> bool {
        service.selects(&self.key.namespace, &self.labels)
    }
}
