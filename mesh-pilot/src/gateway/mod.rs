//! Makes what the Gateway API's `Gateway`s of our class need: for each a Deployment, a Service
//! and a service account beside it, which leave with it, and its status.

mod class;
mod objects;
mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, GroupVersionKind};
use mesh_inject::Config;
use mesh_model::{Gateway, GatewayApi, GatewayServer, ServiceName, Snapshot};
use mesh_rules::gateway_api::API_VERSIONS;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::cluster::{self, FIELD_MANAGER};
use crate::leader::Leadership;
use crate::webhook::Settings;

/// How often what is there is compared with what is to be there, though nothing has changed.
const AGAIN: Duration = Duration::from_secs(60);
/// The same when the API server has refused something.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// Who writes into statuses what the writer of all rules' statuses does not.
const STATUS_MANAGER: &str = "mesh-pilot-gateway";
/// The label by which one revision of the control plane is chosen.
const REVISIONS: [&str; 2] = ["sidecar.mesh/rev", "istio.io/rev"];

/// Does it while this pilot leads; never ends by itself.
pub(crate) async fn run(
    client: kube::Client,
    leadership: Leadership,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    settings: watch::Receiver<Settings>,
) {
    let work = || {
        let (client, snapshots, settings) = (client.clone(), snapshots.clone(), settings.clone());
        async move {
            let controller = Controller { client: client.clone(), made: BTreeMap::new() };
            tokio::select! {
                () = class::keep(&client) => {}
                () = controller.run(snapshots, settings) => {}
            }
        }
    };
    leadership.while_leading(work).await;
}

struct Controller {
    client: kube::Client,
    /// What was made last, by gateway.
    made: BTreeMap<ServiceName, Wanted>,
}

/// All that decides what is made for a gateway.
#[derive(Clone, PartialEq)]
struct Wanted {
    gateway: Arc<Gateway>,
    config: Arc<Config>,
    /// Its full name as a service.
    host: String,
    /// Whether one of its pods takes requests.
    is_ready: bool,
    /// Of each server, how many routes it has.
    routes: Vec<usize>,
}

impl Controller {
    async fn run(
        mut self,
        mut snapshots: watch::Receiver<Arc<Snapshot>>,
        mut settings: watch::Receiver<Settings>,
    ) {
        let mut again = Instant::now() + AGAIN;
        loop {
            // What there is stays as it is while nobody knows what gateways are made of.
            let good = settings.wait_for(Result::is_ok).await.map(|good| good.clone());
            let Ok(Ok(config)) = good else { return };
            let snapshot = snapshots.borrow_and_update().clone();
            if !self.gateways(&snapshot, &config).await {
                again = again.min(Instant::now() + AFTER_ERROR);
            }
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() { return },
                // Without a file of settings nobody changes them.
                Ok(()) = settings.changed() => {}
                // Not put off by changes, which a busy cluster has all the time.
                () = tokio::time::sleep_until(again) => {
                    self.made.clear();
                    again = Instant::now() + AGAIN;
                }
            }
        }
    }

    /// Whether all is there.
    async fn gateways(&mut self, snapshot: &Snapshot, config: &Arc<Config>) -> bool {
        let mut all_done = true;
        let mut there = BTreeSet::new();
        let gateways = snapshot.gateways().iter();
        for gateway in gateways.filter(|gateway| gateway.api == GatewayApi::Kubernetes) {
            there.insert(gateway.name.clone());
            let wanted = Wanted::new(snapshot, gateway, config);
            if self.made.get(&gateway.name) == Some(&wanted) {
                continue;
            }
            match self.make(&wanted).await {
                Ok(()) => {
                    self.made.insert(gateway.name.clone(), wanted);
                }
                Err(error) => {
                    let ServiceName { name, namespace } = &gateway.name;
                    let error = cluster::explain(&error);
                    warn!(gateway = format!("{namespace}/{name}"), error, "it cannot be made");
                    all_done = false;
                }
            }
        }
        self.made.retain(|name, _| there.contains(name));
        all_done
    }

    async fn make(&self, wanted: &Wanted) -> Result<(), kube::Error> {
        let ServiceName { name, namespace } = &wanted.gateway.name;
        let Some(stored) = self.stored(&wanted.gateway.name).await? else { return Ok(()) };
        if stored.metadata.deletion_timestamp.is_some() || !is_for(&stored, &wanted.config) {
            return Ok(());
        }
        let made = match objects::objects(&wanted.gateway, &stored, &wanted.config) {
            Ok(objects) => self.apply(namespace, objects).await,
            Err(error) => Ok(Err(error.to_string())),
        }?;
        let status = status::status(wanted, &stored, &made);
        let params = PatchParams::apply(STATUS_MANAGER).force();
        let api = self.api(&stored_resource(&stored), namespace);
        api.patch_status(name, &params, &Patch::Apply(status)).await?;
        if wanted.is_ready && self.made.get(&wanted.gateway.name).is_none_or(|one| !one.is_ready) {
            info!(gateway = format!("{namespace}/{name}"), "a gateway takes requests");
        }
        Ok(())
    }

    /// Makes them; gives the addresses of the Service, or why the API server does not take one
    /// of them.
    async fn apply(
        &self,
        namespace: &str,
        objects: Vec<Value>,
    ) -> Result<Result<Vec<Value>, String>, kube::Error> {
        let params = PatchParams::apply(FIELD_MANAGER).force();
        let mut addresses = Vec::new();
        for object in objects {
            let text =
                |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            let (kind, name) = (text("/kind").to_owned(), text("/metadata/name").to_owned());
            let resource = resource(text("/apiVersion"), &kind);
            let api = self.api(&resource, namespace);
            match api.patch(&name, &params, &Patch::Apply(&object)).await {
                Ok(stored) if kind == "Service" => addresses = status::addresses(&stored),
                Ok(_) => {}
                // What is wrong with it does not pass.
                Err(kube::Error::Api(status)) if status.code == 422 => {
                    return Ok(Err(status.message));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(addresses))
    }

    async fn stored(&self, name: &ServiceName) -> Result<Option<DynamicObject>, kube::Error> {
        for api_version in API_VERSIONS {
            let api = self.api(&resource(api_version, "Gateway"), &name.namespace);
            if let Some(stored) = api.get_opt(&name.name).await? {
                return Ok(Some(stored));
            }
        }
        Ok(None)
    }

    fn api(&self, resource: &ApiResource, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, resource)
    }
}

impl Wanted {
    fn new(snapshot: &Snapshot, gateway: &Arc<Gateway>, config: &Arc<Config>) -> Self {
        let ServiceName { name, namespace } = &gateway.name;
        let service = ServiceName { name: objects::name_of(name), namespace: namespace.clone() };
        let host = service.hostname(snapshot.cluster_domain());
        let service = snapshot.service(&host);
        let is_ready = service.is_some_and(|service| service.endpoints.iter().any(|e| e.ready));
        let routes = gateway.servers.iter().map(|server| routes(snapshot, gateway, server));
        Self {
            gateway: Arc::clone(gateway),
            config: Arc::clone(config),
            host,
            is_ready,
            routes: routes.collect(),
        }
    }
}

/// How many rules are in force for a server.
fn routes(snapshot: &Snapshot, gateway: &Gateway, server: &GatewayServer) -> usize {
    let attached = snapshot
        .routes_by(gateway, server)
        .filter(|rule| server.admits(&rule.name.namespace, &rule.hosts));
    attached.map(|rule| &rule.name).collect::<std::collections::HashSet<_>>().len()
}

/// Whether it is this revision's to look after.
fn is_for(stored: &DynamicObject, config: &Config) -> bool {
    let labels = stored.metadata.labels.as_ref();
    let chosen = labels.and_then(|labels| REVISIONS.iter().find_map(|label| labels.get(*label)));
    chosen.map_or("default", String::as_str) == config.revision
}

fn stored_resource(stored: &DynamicObject) -> ApiResource {
    let types = stored.types.as_ref();
    resource(types.map_or(API_VERSIONS[0], |types| &types.api_version), "Gateway")
}

fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}
