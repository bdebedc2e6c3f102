//! Which kinds are watched, and what is kept of each.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DynamicObject};
use kube::runtime::watcher;
use mesh_rules::{KINDS, RuleKind};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Change, kinds, rule};
use crate::cluster::{Source, follow};
use crate::platform::MeshConfig;
use crate::platform::kubernetes::{declared_service, declared_slice, locality, workload};

/// Watches everything that the mesh is made of.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    client: &kube::Client,
    mesh: &MeshConfig,
    changes: &mpsc::Sender<Change>,
) {
    let domain = mesh.cluster_domain.clone();
    let services: Source<Service> = Source::all("services", client);
    let read = move |service| declared_service(service, &domain);
    tasks.spawn(follow(services, changes.clone(), read, Change::Services));

    let slices: Source<EndpointSlice> = Source::all("endpointslices.discovery.k8s.io", client);
    let read = |slice| declared_slice(slice).map(Some);
    tasks.spawn(follow(slices, changes.clone(), read, Change::Slices));

    let pods: Source<Pod> = Source::all("pods", client);
    let read = |pod| workload(pod).map(|workload| workload.map(Arc::new));
    tasks.spawn(follow(pods, changes.clone(), read, Change::Pods));

    let nodes: Source<Node> = Source::all("nodes", client);
    let read = |node| Ok(locality(node).map(Arc::new));
    tasks.spawn(follow(nodes, changes.clone(), read, Change::Nodes));

    for kind in KINDS {
        tasks.spawn(rules(kind, client, mesh, changes));
    }
}

fn rules(
    kind: &'static RuleKind,
    client: &kube::Client,
    mesh: &MeshConfig,
    changes: &mpsc::Sender<Change>,
) -> impl Future<Output = ()> + Send + use<> {
    let versions: Vec<Api<DynamicObject>> =
        kinds::resources(kind).map(|resource| Api::all_with(client.clone(), &resource)).collect();
    let source = Source { name: kind.name(), versions, config: watcher::Config::default() };
    let mesh = mesh.clone();
    let read = move |object| Box::new(rule::read(kind, object, &mesh));
    follow(source, changes.clone(), read, move |delta| Change::Rules(kind.key, delta))
}
