//! What a test has to work with.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::forward::Forward;
use super::mesh::{self, Mesh};
use super::wait;
use crate::http::Client;
use crate::{command, paths};

/// For a pod to be ready, or gone, on a machine that is busy with other things.
pub(super) const DEADLINE: Duration = Duration::from_secs(300);

/// The injected container.
pub(super) const PROXY: &str = "mesh-proxy";

/// The label by which a namespace's pods are injected.
pub(super) const INJECTED: &str = "mesh-injection=enabled";

/// A test's namespace, and the mesh.
pub(super) struct Ctx<'a> {
    mesh: &'a Mesh,
    /// Its own.
    pub(super) namespace: String,
    /// For what it writes, and for what explains a failure.
    pub(super) folder: PathBuf,
    stop: &'a AtomicBool,
}

impl<'a> Ctx<'a> {
    pub(super) fn new(mesh: &'a Mesh, test: &str, folder: PathBuf, stop: &'a AtomicBool) -> Self {
        let namespace = format!("{}-{}", mesh::TEST_LABEL, test.replace('_', "-"));
        Self { mesh, namespace, folder, stop }
    }

    /// The same with another namespace, `NAMESPACE-NAME`, that is made with these labels
    /// (`KEY=VALUE`).
    ///
    /// # Errors
    /// When kubectl fails.
    pub(super) fn beside(&self, name: &str, labels: &[&str]) -> Result<Self> {
        let beside = self.in_namespace(&format!("{}-{name}", self.namespace));
        beside.create_namespace()?;
        beside.label_namespace(labels)?;
        Ok(beside)
    }

    /// The same in a namespace that is there.
    pub(super) fn in_namespace(&self, namespace: &str) -> Self {
        let (folder, mesh) = (self.folder.clone(), self.mesh);
        Self { mesh, namespace: namespace.to_owned(), folder, stop: self.stop }
    }

    pub(super) fn create_namespace(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        self.mesh.kube.read(&["create", "namespace", &self.namespace])?;
        let own = self.own_label();
        self.label_namespace(&[&own])?;
        // A pod that comes before it is refused.
        let account = ["get", "serviceaccount", "default"];
        self.until("the namespace's account", || self.kubectl(&account).map(drop))
    }

    /// Labels the namespace; `KEY-` takes a label away.
    ///
    /// # Errors
    /// When kubectl fails.
    pub(super) fn label_namespace(&self, labels: &[&str]) -> Result<()> {
        if labels.is_empty() {
            return Ok(());
        }
        let args = ["label", "--overwrite", "namespace", &self.namespace];
        self.mesh.kube.read(&[&args, labels].concat()).map(drop)
    }

    fn own_label(&self) -> String {
        format!("{}={}", mesh::TEST_LABEL, self.name().display())
    }

    /// Every namespace of this test; does not wait for their end.
    pub(super) fn delete_namespaces(&self) -> Result<()> {
        let own = self.own_label();
        let args = ["delete", "namespaces", "--selector", &own, "--wait=false"];
        self.mesh.kube.read(&args).map(drop)
    }

    /// The names of this test's namespaces.
    pub(super) fn namespaces(&self) -> Result<Vec<String>> {
        let own = self.own_label();
        let list = ["get", "namespaces", "--selector", &own, "--output=name"];
        let names = self.mesh.kube.read(&list)?;
        Ok(names.lines().filter_map(|line| Some(line.split_once('/')?.1.to_owned())).collect())
    }

    /// Says what goes on; whose it is, as others may go on meanwhile.
    pub(super) fn say(&self, what: impl AsRef<str>) {
        eprintln!("-- {}: {}", self.name().display(), what.as_ref());
    }

    /// The test's.
    fn name(&self) -> &Path {
        Path::new(self.folder.file_name().unwrap_or_default())
    }

    pub(super) fn mesh(&self) -> &'a Mesh {
        self.mesh
    }

    /// What `kubectl` prints in this test's namespace.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.mesh.kube.read(&[&["--namespace", &self.namespace], args].concat())
    }

    /// What `kubectl` prints as JSON in this test's namespace.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn json(&self, args: &[&str]) -> Result<Value> {
        self.mesh.kube.json(&[&["--namespace", &self.namespace], args].concat())
    }

    /// What `meshctl` prints in this test's namespace.
    ///
    /// # Errors
    /// When it fails.
    pub(super) fn meshctl(&self, args: &[&str]) -> Result<String> {
        let mut meshctl = self.mesh.meshctl(args);
        command::read(meshctl.args(["--namespace", &self.namespace]))
    }

    /// Applies a manifest with this run's images, which stays in the test's folder as `name`.
    ///
    /// # Errors
    /// When the cluster refuses it.
    pub(super) fn apply(&self, name: &str, manifest: &str) -> Result<()> {
        let path = self.write(name, &self.mesh.with_images(manifest))?;
        self.kubectl(&["apply", "--filename", &path]).map(drop)
    }

    /// Writes a file into the test's folder; gives its path.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.join(name);
        std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        path.into_os_string().into_string().ok().context("the target folder's path is not UTF-8")
    }

    /// Runs a program in a container and gives what it prints.
    ///
    /// # Errors
    /// When it fails, or there is no such container.
    pub(super) fn exec(&self, pod: &str, container: &str, program: &[&str]) -> Result<String> {
        self.kubectl(&[&["exec", pod, "--container", container, "--"], program].concat())
    }

    /// Waits until all replicas of a Deployment or StatefulSet are there, ready and current.
    ///
    /// # Errors
    /// When they are not in time.
    pub(super) fn rolled_out(&self, what: &str) -> Result<()> {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        self.kubectl(&["rollout", "status", what, &timeout]).map(drop)
    }

    /// Waits until this condition, such as `Ready`, of a resource is true.
    ///
    /// # Errors
    /// When it is not in time.
    pub(super) fn wait_for(&self, condition: &str, what: &str) -> Result<()> {
        let timeout = format!("--timeout={}s", DEADLINE.as_secs());
        let condition = format!("--for=condition={condition}");
        self.kubectl(&["wait", &condition, what, &timeout]).map(drop)
    }

    /// Asks until there is no error.
    ///
    /// # Errors
    /// The last one, after the deadline for all that pods do.
    pub(super) fn until<T>(&self, what: &str, ask: impl FnMut() -> Result<T>) -> Result<T> {
        self.until_each(wait::POLL, what, DEADLINE, ask)
    }

    /// Asks with this pause in between until there is no error, for so long.
    ///
    /// # Errors
    /// The last one.
    pub(super) fn until_each<T>(
        &self,
        pause: Duration,
        what: &str,
        at_most: Duration,
        ask: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        wait::until(what, at_most, pause, self.stop, ask)
    }

    /// Waits for so long, as when nothing is to happen meanwhile.
    ///
    /// # Errors
    /// When Ctrl-C has ended it.
    pub(super) fn pass(&self, time: Duration) -> Result<()> {
        let start = std::time::Instant::now();
        wait::until("time to pass", time * 2, wait::POLL, self.stop, || {
            ensure!(start.elapsed() >= time, "{:.0?} of {time:?}", start.elapsed());
            Ok(())
        })
    }

    /// The pods with these labels that are not about to end, as JSON.
    ///
    /// # Errors
    /// When kubectl fails.
    pub(super) fn pods(&self, selector: &str) -> Result<Vec<Value>> {
        let mut list = self.json(&["get", "pods", "--selector", selector])?;
        let Value::Array(mut pods) = list["items"].take() else { return Ok(Vec::new()) };
        pods.retain(|pod| pod["metadata"]["deletionTimestamp"].is_null());
        Ok(pods)
    }

    /// The name of the one pod with these labels.
    ///
    /// # Errors
    /// When there is none, or more than one.
    pub(super) fn pod(&self, selector: &str) -> Result<String> {
        let pods = self.pods(selector)?;
        ensure!(pods.len() == 1, "pods with {selector}: expected one, found {}", pods.len());
        Ok(pod_name(&pods[0]))
    }

    /// An address on this machine that leads to a port of a pod or a Service in this namespace.
    ///
    /// # Errors
    /// When kubectl does not make it.
    pub(super) fn forward(&self, namespace: &str, to: &str, port: u16) -> Result<Forward> {
        Forward::open(&self.mesh.kube, namespace, to, port)
    }

    /// What an admin page of a pod's proxy says.
    ///
    /// # Errors
    /// When there is no such page.
    pub(super) fn admin(&self, pod: &str, page: &str) -> Result<String> {
        self.admin_of(&self.namespace, pod, page)
    }

    pub(super) fn admin_of(&self, namespace: &str, pod: &str, page: &str) -> Result<String> {
        let forward = self.forward(namespace, &format!("pod/{pod}"), 15000)?;
        let answer = Client::new(forward.address()).get(page, &[])?;
        ensure!(answer.status == 200, "{pod}: {page}: status {}", answer.status);
        Ok(answer.body)
    }

    /// A file of the repository.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn sample(&self, path: &str) -> Result<String> {
        let path = paths::root().join(path);
        read(&path)
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// The name of a pod in JSON.
pub(super) fn pod_name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
