//! What a killed supervisor leaves: network namespaces by their prefix, processes in them,
//! and the bridge.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::tools::ip;
use super::{NAMESPACE_PREFIX, network};
use crate::error::Result;

/// Removes everything of an earlier mesh. Only to be called when none is running. Tells
/// whether there was anything.
pub(crate) async fn clear() -> Result<bool> {
    let namespaces = network::namespaces(NAMESPACE_PREFIX).await?;
    for namespace in &namespaces {
        remove_namespace(namespace).await?;
    }
    let had_bridge = matches!(network::owner().await?, network::Owner::Mesh(_));
    network::delete_bridge().await?;
    Ok(had_bridge || !namespaces.is_empty())
}

/// Kills what runs in a network namespace and removes it, and with it its link.
pub(super) async fn remove_namespace(name: &str) -> Result<()> {
    for pid in ip(&["netns", "pids", name]).await?.split_whitespace() {
        if let Ok(pid) = pid.parse() {
            // Gone in between is what is wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
    network::delete_pod(name).await
}
