//! Whether this machine lets its pods talk to it.

use std::fs::File;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use nix::sched::{CloneFlags, setns};

use crate::error::{Error, Result};

/// On one machine an answer takes microseconds.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Tries a connection from a sandbox to the host. That nobody listens yet is fine: what
/// counts is that packets go through.
///
/// # Errors
/// Says that a firewall is in the way, and how to open it.
pub(super) async fn check(sandbox: u32, address: SocketAddr) -> Result<()> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    // A thread of its own, as it stays in the sandbox's network.
    std::thread::spawn(move || answer.send(connect(sandbox, address)));
    match answered.await {
        Ok(Err(error)) if error.kind() != ErrorKind::ConnectionRefused => {
            Err(Error::failed(format!(
                "pods cannot reach the control plane at {address} ({error}): this machine's \
                 firewall drops what comes from the bridge mesh0. Allow it, for instance with \
                 `iptables -I INPUT -i mesh0 -j ACCEPT` or `firewall-cmd --zone=trusted \
                 --add-interface=mesh0`"
            )))
        }
        _ => Ok(()),
    }
}

fn connect(sandbox: u32, address: SocketAddr) -> std::io::Result<()> {
    let network = File::open(format!("/proc/{sandbox}/ns/net"))?;
    setns(network, CloneFlags::CLONE_NEWNET)?;
    TcpStream::connect_timeout(&address, TIMEOUT).map(drop)
}
