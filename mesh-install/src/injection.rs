//! What sidecars are made of, for who injects files: as the webhook of a cluster has it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api, ListParams};
use kube::{Client, Error as KubeError};
use mesh_inject::{Config, ConfigError, KubernetesVersion};
use serde_json::{Value, json};

use crate::chart::{self, ChartError, Release};
use crate::{client, names};

/// The ConfigMap's key.
pub(crate) const KEY: &str = "config.yaml";

/// Why it is not known what sidecars are made of.
#[derive(Debug, thiserror::Error)]
pub enum InjectionError {
    /// The API server says no.
    #[error("{what}: {}", client::explain(.source))]
    Api {
        /// What was asked for.
        what: String,
        /// What it said.
        source: KubeError,
    },
    /// No control plane of this revision is there.
    #[error(
        "there is no control plane of revision {revision:?} in namespace {namespace}: `meshctl \
         install` puts one there"
    )]
    NotInstalled {
        /// Where it was looked for.
        namespace: String,
        /// Which.
        revision: String,
    },
    /// What is kept is not what injection takes.
    #[error("ConfigMap {name}, {KEY}: {source}")]
    Settings {
        /// Namespace and name.
        name: String,
        /// What is wrong.
        source: ConfigError,
    },
    /// The chart.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// The settings of an installation that was given none.
///
/// # Errors
/// When the chart is wrong.
pub fn default_settings(namespace: &str, revision: &str) -> Result<Config, InjectionError> {
    let values = json!({"revision": revision});
    let release = Release { namespace: namespace.to_owned(), values: vec![values] };
    let name = names::injector(revision);
    let is_it = |object: &Value| {
        object["kind"] == "ConfigMap" && object["metadata"]["name"] == name.as_str()
    };
    let objects = chart::render(&release)?.into_iter().map(|rendered| rendered.object);
    let text = objects.filter(is_it).find_map(|map| Some(map["data"][KEY].as_str()?.to_owned()));
    read(namespace, &name, &text.unwrap_or_default())
}

/// The settings of a control plane in a cluster, with the kind of sidecars decided by the
/// versions of the API server and of the nodes that may be listed.
///
/// # Errors
/// When there is none, or its settings cannot be read.
pub async fn settings_of_cluster(
    client: &Client,
    namespace: &str,
    revision: &str,
) -> Result<Config, InjectionError> {
    let name = names::injector(revision);
    let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
    let what = format!("ConfigMap {namespace}/{name}");
    let found = api.get_opt(&name).await.map_err(|source| InjectionError::Api { what, source })?;
    let data: BTreeMap<String, String> = match found {
        Some(map) => map.data.unwrap_or_default(),
        None => {
            let (namespace, revision) = (namespace.to_owned(), revision.to_owned());
            return Err(InjectionError::NotInstalled { namespace, revision });
        }
    };
    let mut config = read(namespace, &name, data.get(KEY).map_or("", String::as_str))?;
    config.native_sidecar = config.native_sidecar.on(versions(client).await?);
    Ok(config)
}

fn read(namespace: &str, name: &str, text: &str) -> Result<Config, InjectionError> {
    let name = format!("{namespace}/{name}");
    Config::from_yaml(text).map_err(|source| InjectionError::Settings { name, source })
}

/// Nodes are the cluster's, and not everybody may list them.
async fn versions(client: &Client) -> Result<Vec<KubernetesVersion>, InjectionError> {
    let what = "the version of the API server".to_owned();
    let server = client.apiserver_version().await;
    let server = server.map_err(|source| InjectionError::Api { what, source })?;
    let nodes = Api::<Node>::all(client.clone()).list(&ListParams::default()).await;
    let nodes = nodes.map(|nodes| nodes.items).unwrap_or_default();
    let kubelets =
        nodes.into_iter().filter_map(|node| Some(node.status?.node_info?.kubelet_version));
    // One that is of a version which nobody can read counts for nothing.
    Ok(kubelets.chain([server.git_version]).filter_map(|text| text.parse().ok()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_by_default_is_of_this_version() {
        let config = default_settings(chart::NAMESPACE, "canary").unwrap();
        let version = chart::app_version().unwrap();
        assert_eq!(config.image, format!("mesh/proxy:{version}"));
        assert_eq!(config.discovery_address, "mesh-pilot-canary.mesh-system.svc:15012");
        assert_eq!(config.revision, "canary");
    }
}
