//! The cluster itself, by kind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use super::{engine, folder};
use crate::command;
use crate::docker::Docker;
use crate::kube::Kube;
use crate::paths::find_command;

const NAME: &str = "mesh";
/// kind's name for the container that is the node.
const NODE: &str = "mesh-control-plane";
/// Long on a slow machine that has just compiled Kubernetes; seconds as a rule.
const WAIT: &str = "300s";

/// A cluster of one node, called `mesh`, that is up or not.
pub(crate) struct Cluster {
    docker: Docker,
    kind: PathBuf,
    kubectl: Option<PathBuf>,
    kubeconfig: PathBuf,
    /// In our own engine; otherwise kind chooses what fits the user's.
    own: bool,
    node_image: Option<String>,
}

impl Cluster {
    /// In the user's own Docker, with the user's kind.
    ///
    /// # Errors
    /// When one of the two is missing.
    pub(super) fn found() -> Result<Self> {
        let kind = find_command("kind").context(
            "kind is missing: install it and Docker, or add --from-packages to `cargo xtask \
             cluster up`",
        )?;
        Ok(Self {
            docker: Docker::found()?,
            kind,
            kubectl: find_command("kubectl"),
            kubeconfig: folder()?.join("kubeconfig"),
            own: false,
            node_image: None,
        })
    }

    /// In our own engine, with programs of our own from `bin`; made from `node_image` when it
    /// is not there.
    ///
    /// # Errors
    /// When there is no cache folder.
    pub(super) fn own(docker: Docker, bin: &Path, node_image: Option<String>) -> Result<Self> {
        Ok(Self {
            docker,
            kind: bin.join("kind"),
            kubectl: Some(bin.join("kubectl")),
            kubeconfig: folder()?.join("kubeconfig"),
            own: true,
            node_image,
        })
    }

    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// Makes it, unless it is ready. What is there but not ready, as after an interruption or
    /// a restart of the machine, is made anew, and so is what was made from another node image.
    pub(super) fn up(&self) -> Result<()> {
        if self.is_ready() && self.is_current() {
            return self.write_kubeconfig();
        }
        self.create()?;
        self.names_are_resolved()
    }

    fn create(&self) -> Result<()> {
        self.down()?;
        let mut create = self.kind(&["create", "cluster", "--wait", WAIT]);
        if let Some(image) = &self.node_image {
            let config = folder()?.join("kind.yaml");
            fs::write(&config, own_config(image)).with_context(|| config.display().to_string())?;
            create.arg("--config").arg(&config);
        }
        command::run(&mut create)
    }

    pub(super) fn down(&self) -> Result<()> {
        command::run(&mut self.kind(&["delete", "cluster"]))
    }

    /// Whether its API server answers that it is ready; half a minute late when it must.
    pub(crate) fn is_ready(&self) -> bool {
        let mut ask = self.kubectl_in_node();
        ask.args(["wait", "--request-timeout=30s", "--for=condition=Ready", "--timeout=30s"]);
        ask.args(["nodes", "--all"]);
        command::output(&mut ask).is_ok_and(|output| output.status.success())
    }

    /// Waits until a new cluster has a name server: its node is ready before.
    fn names_are_resolved(&self) -> Result<()> {
        let mut wait = self.kubectl_in_node();
        let timeout = format!("--timeout={WAIT}");
        wait.args(["rollout", "status", "--namespace=kube-system", "deployment/coredns", &timeout]);
        command::run(&mut wait)
    }

    fn kubectl_in_node(&self) -> Command {
        let mut kubectl = self.docker.command();
        kubectl.args(["exec", NODE, "kubectl"]);
        kubectl.arg("--kubeconfig=/etc/kubernetes/admin.conf");
        kubectl
    }

    fn is_current(&self) -> bool {
        let Some(image) = &self.node_image else { return true };
        let mut inspect = self.docker.command();
        inspect.args(["container", "inspect", "--format", "{{.Config.Image}}", NODE]);
        command::read(&mut inspect).is_ok_and(|found| found.trim() == image)
    }

    /// Copies images from Docker into the node.
    ///
    /// # Errors
    /// When Docker has one of them not.
    pub(crate) fn load(&self, images: &[String]) -> Result<()> {
        command::run(self.kind(&["load", "docker-image"]).args(images))
    }

    /// The user's own kubeconfig and its current context stay as they are.
    fn write_kubeconfig(&self) -> Result<()> {
        command::read(&mut self.kind(&["export", "kubeconfig"])).map(drop)
    }

    fn kind(&self, args: &[&str]) -> Command {
        let mut kind = Command::new(&self.kind);
        kind.args(args).args(["--name", NAME]);
        // `load` alone reads it from nowhere.
        if args.first() != Some(&"load") {
            kind.arg("--kubeconfig").arg(&self.kubeconfig);
        }
        if self.own {
            kind.env_remove("KIND_EXPERIMENTAL_PROVIDER");
        }
        self.docker.choose(&mut kind);
        kind
    }

    /// How kubectl reaches it.
    ///
    /// # Errors
    /// When there is no kubectl.
    pub(crate) fn kube(&self) -> Result<Kube> {
        let kubectl = self.kubectl.clone().context("kubectl is missing: install it")?;
        Ok(Kube::of_file(kubectl, &self.kubeconfig, self.own.then_some(engine::ADDRESS)))
    }

    /// What to type to use it.
    pub(super) fn how_to_use(&self) -> String {
        let kubectl = self.kubectl.clone().unwrap_or_else(|| "kubectl".into());
        let mut text = format!(
            "    export KUBECONFIG={}\n    {} get pods -A\n",
            self.kubeconfig.display(),
            kubectl.display()
        );
        let proxied = |key| std::env::var_os(key).is_some_and(|value| !value.is_empty());
        if self.own && (proxied("HTTPS_PROXY") || proxied("https_proxy")) {
            text += &format!("    export NO_PROXY=$NO_PROXY,{}\n", engine::ADDRESS);
        }
        text + "\n`cargo xtask cluster down` takes it down."
    }
}

/// For the node that was made from packages: it has a network plugin of its own, and images
/// that no registry has; and it is reached by the one address of the engine's namespace.
fn own_config(image: &str) -> String {
    format!(
        "kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
networking:
  disableDefaultCNI: true
  apiServerAddress: {address}
  apiServerPort: 6443
nodes:
  - role: control-plane
    image: {image}
kubeadmConfigPatches:
  - |
    kind: ClusterConfiguration
    imageRepository: {repository}
    dns:
      imageTag: {coredns}
    etcd:
      local:
        imageTag: {etcd}
",
        address = engine::ADDRESS,
        repository = super::packages::REPOSITORY,
        coredns = super::packages::COREDNS_TAG,
        etcd = super::packages::ETCD_TAG,
    )
}
