//! The replicas of the control plane, reached through the API server.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::join_all;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams};
use kube::{Client, ResourceExt};
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use super::pilot::Pilot;
use crate::failure::NotRunning;

/// Where the pods answer, on their loopback address (mesh-pilot's `--api-address`).
const API_PORT: u16 = 15016;
const PODS: &str = "app=mesh-pilot";
/// For one of them to answer.
const CONNECT: Duration = Duration::from_secs(10);

/// A connection to each replica that is ready; never none.
pub(super) async fn pilots(client: &Client, namespace: &str) -> Result<Vec<Pilot>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let list = pods.list(&ListParams::default().labels(PODS)).await;
    let list = list.map_err(crate::cluster::explain)?.items;
    let reached = list.iter().filter(|pod| answers(pod)).map(|pod| reach(&pods, pod.name_any()));
    let (mut pilots, mut unreached) = (Vec::new(), None);
    for reached in join_all(reached).await {
        match reached {
            Ok(pilot) => pilots.push(pilot),
            Err(why) => unreached = Some(why),
        }
    }
    match (pilots.is_empty(), unreached) {
        (true, Some(why)) => return Err(why),
        // As of a node that has just gone; the others know as much.
        (false, Some(why)) => eprintln!("{why:#}; going on without it"),
        (_, None) => {}
    }
    match (pilots.is_empty(), list.len()) {
        (false, _) => Ok(pilots),
        (true, 0) => Err(NotRunning(format!(
            "no control plane runs in the namespace {namespace} of the cluster; `meshctl install` \
             installs one, --mesh-namespace names another namespace"
        ))
        .into()),
        (true, some) => Err(NotRunning(format!(
            "none of the {some} pods of the control plane in {namespace} is ready; `meshctl check` \
             says more"
        ))
        .into()),
    }
}

fn answers(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none() && mesh_install::is_ready(pod)
}

async fn reach(pods: &Api<Pod>, name: String) -> Result<Pilot> {
    let connected = timeout(CONNECT, connect(pods.clone(), name.clone())).await;
    let connected = connected.map_err(anyhow::Error::from).flatten();
    connected.map(Pilot::over).with_context(|| format!("reaching the pod {name}"))
}

/// A connection that is made anew, should it break.
async fn connect(pods: Api<Pod>, name: String) -> Result<Channel> {
    let connector = service_fn(move |_: Uri| {
        let (pods, name) = (pods.clone(), name.clone());
        async move {
            let mut forwarder =
                pods.portforward(&name, &[API_PORT]).await.map_err(std::io::Error::other)?;
            let stream = forwarder.take_stream(API_PORT);
            let stream = stream.ok_or_else(|| std::io::Error::other("no stream to the pod"))?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    });
    // The name stands in `:authority` alone.
    Ok(Endpoint::from_static("http://mesh-pilot").connect_with_connector(connector).await?)
}
