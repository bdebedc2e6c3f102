//! The bridge and a pod's link to it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::tools::{ip, ip_batch};
use crate::error::{Error, Result};
use crate::plan::{GATEWAY, POD_NETWORK, PREFIX_LENGTH, SERVICE_NETWORK};

const BRIDGE: &str = "mesh0";
/// Begins the bridge's alias, by which it is known as ours; the state folder follows.
const ALIAS: &str = "mesh-local ";

/// Whose the bridge is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    /// There is no bridge.
    Nobody,
    /// Made by a mesh with this state folder.
    Mesh(PathBuf),
    /// Somebody else has a link of this name.
    Other,
}

/// Looks for the bridge.
pub(crate) async fn owner() -> Result<Owner> {
    // Without a device argument, so that a missing one is no error.
    let links: Value = parse(&ip(&["-j", "link", "show"]).await?)?;
    let bridge = links.as_array().into_iter().flatten().find(|link| link["ifname"] == BRIDGE);
    Ok(
        match bridge.map(|link| link["ifalias"].as_str().and_then(|text| text.strip_prefix(ALIAS)))
        {
            None => Owner::Nobody,
            Some(Some(state)) => Owner::Mesh(PathBuf::from(state)),
            Some(None) => Owner::Other,
        },
    )
}

/// Makes the bridge; there is none yet.
pub(crate) async fn create_bridge(state: &Path) -> Result<()> {
    check_free(POD_NETWORK).await?;
    let lines = [
        format!("link add {BRIDGE} type bridge"),
        format!("link set {BRIDGE} alias \"{ALIAS}{}\"", state.display()),
        format!("addr add {GATEWAY}/{PREFIX_LENGTH} dev {BRIDGE}"),
        format!("link set {BRIDGE} up"),
    ];
    ip_batch(None, &lines).await
}

/// Removes the bridge; that there is none is fine.
pub(crate) async fn delete_bridge() -> Result<()> {
    match owner().await? {
        Owner::Mesh(_) => ip(&["link", "delete", BRIDGE]).await.map(drop),
        Owner::Nobody | Owner::Other => Ok(()),
    }
}

/// Kubernetes networks like the same addresses; to share them would cut both off.
async fn check_free(network: Ipv4Addr) -> Result<()> {
    let prefix = format!("{network}/{PREFIX_LENGTH}");
    let routes = parse(&ip(&["-j", "route", "show", "root", &prefix]).await?)?;
    match routes.as_array().and_then(|routes| routes.first()) {
        Some(route) => Err(Error::failed(format!(
            "{prefix} is in use on this machine (device {}); stop what uses it, for instance a \
             local Kubernetes",
            route["dev"].as_str().unwrap_or("unknown")
        ))),
        None => Ok(()),
    }
}

fn parse(json: &str) -> Result<Value> {
    // `ip -j` prints nothing at all where there is nothing to list.
    let json = if json.trim().is_empty() { "[]" } else { json };
    serde_json::from_str(json).map_err(|error| Error::failed(format!("ip -j: {error}")))
}

/// A network namespace with loopback, and a link to the bridge with this address.
pub(super) async fn create_pod(
    namespace: &str,
    address: Ipv4Addr,
    reaches_services: bool,
) -> Result<()> {
    let link = link(namespace);
    let outside = [
        format!("netns add {namespace}"),
        format!("link add {link} type veth peer name eth0 netns {namespace}"),
        format!("link set {link} master {BRIDGE}"),
        format!("link set {link} up"),
    ];
    let mut inside = vec![
        "link set lo up".to_owned(),
        format!("addr add {address}/{PREFIX_LENGTH} dev eth0"),
        "link set eth0 up".to_owned(),
        format!("route add default via {GATEWAY}"),
    ];
    if !reaches_services {
        // Virtual addresses are the sidecar's work: without one, an error at once is better
        // than packets that nobody answers.
        inside.push(format!("route add unreachable {SERVICE_NETWORK}/{PREFIX_LENGTH}"));
    }
    ip_batch(None, &outside).await?;
    ip_batch(Some(namespace), &inside).await
}

/// Removes a pod's namespace and its link; that there is no link is fine. The kernel would
/// remove the link with the namespace, but later, and a new mesh could meet it.
pub(super) async fn delete_pod(namespace: &str) -> Result<()> {
    let _ = ip(&["link", "delete", &link(namespace)]).await;
    ip(&["netns", "delete", namespace]).await.map(drop)
}

/// The host's end of a pod's link. Its name has 15 bytes at most, too few for a pod's.
fn link(namespace: &str) -> String {
    let mut hasher = DefaultHasher::new();
    namespace.hash(&mut hasher);
    format!("mesh-{:08x}", hasher.finish() as u32)
}

/// Every network namespace whose name begins so.
pub(super) async fn namespaces(prefix: &str) -> Result<Vec<String>> {
    let list = parse(&ip(&["-j", "netns", "list"]).await?)?;
    let names = list.as_array().into_iter().flatten().filter_map(|entry| entry["name"].as_str());
    Ok(names.filter(|name| name.starts_with(prefix)).map(str::to_owned).collect())
}
