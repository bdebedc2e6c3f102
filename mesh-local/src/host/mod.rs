//! Everything that needs privilege, and nothing else: the bridge, a pod's network and its
//! view of the files, starting programs in it, and clearing up what a crash left. The rest
//! of the crate does not know how pods are kept apart, nor that it runs as root.
//!
//! It is done with iproute2 and util-linux, which every Linux machine with network
//! namespaces has: `ip`, `nsenter`, `unshare`, `setpriv`, `mount`, `sh`.

mod leftovers;
mod network;
mod process;
mod reach;
mod sandbox;
mod tools;

pub(crate) use leftovers::clear;
pub(crate) use network::{Owner, create_bridge, owner};
pub use process::enter;
pub(crate) use process::{Process, Program, User};
pub(crate) use sandbox::{Sandbox, SandboxPlan};

use crate::error::{Error, Result};

/// Network namespaces of pods begin with this.
const NAMESPACE_PREFIX: &str = "mesh-pod-";

/// Whether this process may do all of that.
///
/// # Errors
/// Says what is missing.
pub(crate) fn check() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        return Err(Error::NotRoot);
    }
    for (tool, package) in [
        ("ip", "iproute2"),
        ("nsenter", "util-linux"),
        ("unshare", "util-linux"),
        ("setpriv", "util-linux"),
        ("mount", "mount"),
    ] {
        if !tools::exists(tool) {
            return Err(Error::failed(format!(
                "the program {tool} is not in PATH; install it (Debian: apt-get install {package})"
            )));
        }
    }
    Ok(())
}
