//! The engine's network namespace, and the link by which this machine reaches it.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::command;

const NAME: &str = "mesh-cluster";
pub(super) const FILE: &str = "/run/netns/mesh-cluster";
const OUTSIDE: &str = "mesh-cluster0";
const INSIDE: &str = "eth0";

/// Where this machine is, seen from the cluster. Link-local, so that no route is taken away
/// from anybody.
const OUTSIDE_ADDRESS: &str = "169.254.115.1";
/// Where the cluster is, seen from this machine.
pub(in crate::cluster) const INSIDE_ADDRESS: &str = "169.254.115.2";
const PREFIX: &str = "/30";

/// Makes what is not there yet.
///
/// # Errors
/// When `ip` fails.
pub(super) fn up() -> Result<()> {
    if Path::new(FILE).exists() && ip(&["-netns", NAME, "link"]).is_err() {
        // Of before the machine's restart: a file with no namespace behind it.
        ip(&["netns", "delete", NAME])?;
    }
    if !Path::new(FILE).exists() {
        ip(&["netns", "add", NAME])?;
    }
    if !has_link() {
        ip(&["link", "add", OUTSIDE, "type", "veth", "peer", "name", INSIDE, "netns", NAME])?;
    }
    let (outside, inside) =
        (format!("{OUTSIDE_ADDRESS}{PREFIX}"), format!("{INSIDE_ADDRESS}{PREFIX}"));
    ip(&["address", "replace", &outside, "dev", OUTSIDE])?;
    ip(&["link", "set", OUTSIDE, "up"])?;
    ip(&["-netns", NAME, "address", "replace", &inside, "dev", INSIDE])?;
    ip(&["-netns", NAME, "link", "set", INSIDE, "up"])?;
    ip(&["-netns", NAME, "link", "set", "lo", "up"])
}

/// Takes both away. A namespace lives as long as a process in it, so the link does not wait
/// for its end.
///
/// # Errors
/// When `ip` fails.
pub(super) fn down() -> Result<()> {
    if has_link() {
        ip(&["link", "delete", OUTSIDE])?;
    }
    if Path::new(FILE).exists() {
        ip(&["netns", "delete", NAME])?;
    }
    Ok(())
}

fn has_link() -> bool {
    Path::new("/sys/class/net").join(OUTSIDE).exists()
}

fn ip(args: &[&str]) -> Result<()> {
    command::read(Command::new("ip").args(args)).map(drop)
}
