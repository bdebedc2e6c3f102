//! One look after the other.

use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use k8s_openapi::api::events::v1::Event as KubeEvent;
use kube::api::{DynamicObject, ListParams, LogParams};
use kube::{Api, Client};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Piece;
use super::pages::page;
use crate::kinds::{DEFINITION, KINDS};
use crate::{Event, Events, PART_OF, REVISION_LABEL, check, explain, is_ready, names};

/// Lines of a log, from its end.
const LOG_LINES: i64 = 5000;
/// Pods with sidecars whose logs and configuration are taken; the sick ones first.
const SIDECARS: usize = 30;
/// The pilot's own pages, and a proxy's.
const PILOT_PAGES: (u16, &[&str]) = (15014, &["/metrics", "/debug/syncz"]);
const PROXY_PAGES: (u16, &[&str]) = (15000, &["/config_dump", "/clusters", "/listeners", "/stats"]);

struct Report<'a> {
    client: &'a Client,
    events: &'a Events,
    pieces: Vec<Piece>,
    missing: Vec<String>,
}

pub(super) async fn everything(client: &Client, namespace: &str, events: &Events) -> Vec<Piece> {
    let mut report = Report { client, events, pieces: Vec::new(), missing: Vec::new() };
    report.version().await;
    report.findings(namespace).await;
    report.objects().await;
    let of_mesh = report.pods(Some(namespace), "").await;
    let sidecars = format!("{REVISION_LABEL},{}!={}", PART_OF.0, PART_OF.1);
    let mut with_sidecar = report.pods(None, &sidecars).await;
    // Those that are ready come last.
    with_sidecar.sort_by_key(is_ready);
    report.namespaces_events(namespace, &with_sidecar).await;
    for pod in &of_mesh {
        report.pod(pod).await;
    }
    report.note(&format!("{} pods with sidecars", with_sidecar.len()));
    for pod in with_sidecar.iter().take(SIDECARS) {
        report.pod(pod).await;
    }
    if with_sidecar.len() > SIDECARS {
        let rest = with_sidecar.len() - SIDECARS;
        report.missing.push(format!("{rest} more pods with sidecars were left out"));
    }
    let missing = report.missing.join("\n");
    report.add("missing.txt", missing);
    report.pieces
}

impl Report<'_> {
    fn add(&mut self, name: impl Into<String>, text: String) {
        self.pieces.push(Piece { name: name.into(), text });
    }

    fn miss(&mut self, what: &str, why: &str) {
        self.missing.push(format!("{what}: {why}"));
    }

    fn note(&self, text: &str) {
        self.events.tell(Event::Note(text.to_owned()));
    }

    fn add_yaml<T: Serialize>(&mut self, name: &str, value: &T) {
        match mesh_yaml::write(value) {
            Ok(text) => self.add(name, text),
            Err(error) => self.miss(name, &error.to_string()),
        }
    }

    async fn version(&mut self) {
        self.note("versions");
        let meshctl = env!("CARGO_PKG_VERSION");
        match self.client.apiserver_version().await {
            Ok(version) => {
                let kubernetes = version.git_version;
                self.add("versions.txt", format!("meshctl {meshctl}\nKubernetes {kubernetes}\n"));
            }
            Err(error) => self.miss("versions.txt", &explain(&error)),
        }
        let nodes = self.list::<Node>(Api::all(self.client.clone()), "nodes.yaml", "").await;
        self.add_yaml("nodes.yaml", &nodes);
    }

    async fn findings(&mut self, namespace: &str) {
        self.note("checks");
        let findings = check::after(self.client, namespace).await;
        self.add_yaml("check.yaml", &findings);
    }

    /// Ours, and everybody's rules; Secrets never.
    async fn objects(&mut self) {
        self.note("objects");
        let ours = format!("{}={}", PART_OF.0, PART_OF.1);
        for kind in KINDS.iter().filter(|kind| kind.kind != "Secret") {
            let found = self.list(kind.api(self.client, None), kind.plural, &ours).await;
            if kind.kind == DEFINITION {
                for definition in &found {
                    self.rules(definition).await;
                }
            }
            self.add_objects(&format!("objects/{}.yaml", kind.plural), found);
        }
        let all: Api<Namespace> = Api::all(self.client.clone());
        let namespaces = self.list(all, "namespaces.yaml", "").await;
        self.add_yaml("namespaces.yaml", &namespaces);
    }

    async fn rules(&mut self, definition: &DynamicObject) {
        let spec = &definition.data["spec"];
        let text =
            |path: &str| spec.pointer(path).and_then(|value| value.as_str()).unwrap_or_default();
        let plural = text("/names/plural");
        let version = text("/versions/0/name");
        let gvk = kube::core::GroupVersionKind::gvk(text("/group"), version, text("/names/kind"));
        let resource = kube::discovery::ApiResource::from_gvk_with_plural(&gvk, plural);
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &resource);
        let rules = self.list(api, plural, "").await;
        self.add_objects(&format!("rules/{plural}.yaml"), rules);
    }

    fn add_objects(&mut self, name: &str, mut objects: Vec<DynamicObject>) {
        objects.iter_mut().for_each(|object| object.metadata.managed_fields = None);
        self.add_yaml(name, &objects);
    }

    async fn pods(&mut self, namespace: Option<&str>, selector: &str) -> Vec<Pod> {
        let client = self.client.clone();
        let api: Api<Pod> = match namespace {
            Some(namespace) => Api::namespaced(client, namespace),
            None => Api::all(client),
        };
        self.list(api, "pods", selector).await
    }

    async fn list<T>(&mut self, api: Api<T>, what: &str, selector: &str) -> Vec<T>
    where
        T: Clone + DeserializeOwned + std::fmt::Debug,
    {
        match api.list(&ListParams::default().labels(selector)).await {
            Ok(list) => list.items,
            Err(error) => {
                self.miss(what, &explain(&error));
                Vec::new()
            }
        }
    }

    async fn namespaces_events(&mut self, mesh: &str, pods: &[Pod]) {
        let mut namespaces: Vec<_> =
            pods.iter().filter_map(|pod| pod.metadata.namespace.clone()).collect();
        namespaces.push(mesh.to_owned());
        namespaces.sort();
        namespaces.dedup();
        for namespace in namespaces {
            let api: Api<KubeEvent> = Api::namespaced(self.client.clone(), &namespace);
            let name = format!("events/{namespace}.yaml");
            let events = self.list(api, &name, "").await;
            self.add_yaml(&name, &events);
        }
    }

    /// What it is, what it says, and what it serves.
    async fn pod(&mut self, pod: &Pod) {
        let metadata = &pod.metadata;
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        self.note(&format!("pod {namespace}/{name}"));
        let folder = format!("pods/{namespace}/{name}");
        let mut shown = pod.clone();
        shown.metadata.managed_fields = None;
        self.add_yaml(&format!("{folder}/pod.yaml"), &shown);
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let is_pilot = metadata
            .labels
            .as_ref()
            .and_then(|labels| labels.get("app"))
            .is_some_and(|app| app == names::PILOT);
        for container in containers(pod, is_pilot) {
            self.logs(&api, name, &container, &folder).await;
        }
        let (port, paths) = if is_pilot { PILOT_PAGES } else { PROXY_PAGES };
        for path in paths {
            let file = format!("{folder}{path}.txt");
            match page(&api, name, port, path).await {
                Ok(text) => self.add(file, text),
                Err(why) => self.miss(&file, &why),
            }
        }
    }

    async fn logs(&mut self, pods: &Api<Pod>, pod: &str, container: &str, folder: &str) {
        for previous in [false, true] {
            let parameters = LogParams {
                container: Some(container.to_owned()),
                previous,
                tail_lines: Some(LOG_LINES),
                timestamps: true,
                ..LogParams::default()
            };
            let file = format!("{folder}/{container}{}.log", if previous { ".before" } else { "" });
            match pods.logs(pod, &parameters).await {
                Ok(text) => self.add(file, text),
                // It was never started anew.
                Err(_) if previous => {}
                Err(error) => self.miss(&file, &explain(&error)),
            }
        }
    }
}

/// The mesh's own containers alone: what applications say is nobody's business.
fn containers(pod: &Pod, is_pilot: bool) -> Vec<String> {
    let Some(spec) = &pod.spec else { return Vec::new() };
    let all = spec.init_containers.iter().flatten().chain(&spec.containers);
    let ours = all.filter(|one| is_pilot || names::CONTAINERS.contains(&one.name.as_str()));
    ours.map(|one| one.name.clone()).collect()
}
