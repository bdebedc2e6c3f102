//! Kubernetes itself.

use k8s_openapi::api::core::v1::Node;
use kube::api::ListParams;
use kube::{Api, Client};

use super::{Finding, Found};

/// The oldest minor version of Kubernetes 1 that everything works with.
pub const OLDEST: u32 = 28;
/// Since when sidecars are containers of their own kind, which start first and stop last.
const NATIVE: u32 = 29;

const CHECK: &str = "version";

pub(super) async fn check(client: &Client) -> Found {
    let server = client.apiserver_version().await?;
    let mut findings = vec![of_server(&server.git_version, &server.minor)];
    let nodes: Api<Node> = Api::all(client.clone());
    match nodes.list(&ListParams::default()).await {
        Ok(nodes) => findings.push(of_nodes(&nodes.items)),
        Err(error) => findings.push(Finding::unknown(CHECK, &error)),
    }
    Ok(findings)
}

fn of_server(version: &str, minor: &str) -> Finding {
    match leading_number(minor) {
        Some(minor) if minor < OLDEST => Finding::error(
            CHECK,
            format!(
                "Kubernetes {version} is too old: 1.{OLDEST} or later is needed; upgrade the \
                 cluster first"
            ),
        ),
        _ => Finding::ok(CHECK, format!("Kubernetes {version}")),
    }
}

fn of_nodes(nodes: &[Node]) -> Finding {
    let kubelet =
        |node: &Node| Some(node.status.as_ref()?.node_info.as_ref()?.kubelet_version.clone());
    let minor = |version: &String| leading_number(version.split('.').nth(1)?);
    let old: Vec<_> = nodes
        .iter()
        .filter(|node| {
            kubelet(node).and_then(|version| minor(&version)).is_some_and(|minor| minor < NATIVE)
        })
        .filter_map(|node| node.metadata.name.clone())
        .collect();
    match old.len() {
        0 => Finding::ok(CHECK, format!("{} nodes have native sidecars", nodes.len())),
        _ => Finding::warning(
            CHECK,
            format!(
                "the kubelets of {} are older than 1.{NATIVE}: sidecars are plain containers, \
                 which init containers cannot use and Jobs have to end",
                old.join(", ")
            ),
        ),
    }
}

/// Some clusters say `28+`.
fn leading_number(text: &str) -> Option<u32> {
    let end = text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::check::Level;

    #[test]
    fn an_old_api_server_is_refused_and_old_kubelets_are_told_of() {
        assert_eq!(of_server("v1.27.3", "27").level, Level::Error);
        assert!(of_server("v1.27.3", "27").message.contains("1.28 or later"));
        assert_eq!(of_server("v1.28.9-gke", "28+").level, Level::Ok);
        let node = |name: &str, version: &str| -> Node {
            let info = json!({"kubeletVersion": version});
            serde_json::from_value(json!({
                "metadata": {"name": name},
                "status": {"nodeInfo": {
                    "kubeletVersion": info["kubeletVersion"], "architecture": "", "bootID": "",
                    "containerRuntimeVersion": "", "kernelVersion": "", "kubeProxyVersion": "",
                    "machineID": "", "operatingSystem": "", "osImage": "", "systemUUID": "",
                }},
            }))
            .unwrap()
        };
        assert_eq!(of_nodes(&[node("a", "v1.34.4")]).level, Level::Ok);
        let finding = of_nodes(&[node("a", "v1.34.4"), node("b", "v1.28.0")]);
        assert_eq!(finding.level, Level::Warning);
        assert!(finding.message.contains("of b are"), "{finding:?}");
    }
}
