//! A port of a pod or a Service, brought to this machine by kubectl.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};

use anyhow::{Context, Result};

use crate::command;
use crate::kube::Kube;

/// Ends when dropped.
pub(super) struct Forward {
    child: Child,
    address: SocketAddr,
}

impl Forward {
    /// `to` is `pod/NAME` or `service/NAME`.
    ///
    /// # Errors
    /// When there is no such pod or port.
    pub(super) fn open(kube: &Kube, namespace: &str, to: &str, port: u16) -> Result<Self> {
        let port = format!(":{port}");
        let args = ["--namespace", namespace, "port-forward", "--address=127.0.0.1", to, &port];
        let mut kubectl = kube.kubectl(&args);
        let text = command::text(&kubectl);
        kubectl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().with_context(|| format!("cannot start {text}"))?;
        let stdout = child.stdout.take().context("kubectl's output")?;
        let (mut line, mut stdout) = (String::new(), BufReader::new(stdout));
        stdout.read_line(&mut line)?;
        let Some(address) = address(&line) else {
            let _ = child.kill();
            let output = child.wait_with_output()?;
            let said = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
            anyhow::bail!("{text}: {said}{line}");
        };
        // It tells of every connection, and would end or stop when nobody reads that.
        drain(stdout);
        if let Some(stderr) = child.stderr.take() {
            drain(stderr);
        }
        Ok(Self { child, address })
    }

    /// Where it is on this machine.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// In `Forwarding from 127.0.0.1:41234 -> 8080`.
fn address(line: &str) -> Option<SocketAddr> {
    line.strip_prefix("Forwarding from ")?.split_whitespace().next()?.parse().ok()
}

fn drain(mut pipe: impl std::io::Read + Send + 'static) {
    std::thread::spawn(move || std::io::copy(&mut pipe, &mut std::io::sink()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_says_where_it_listens() {
        let line = "Forwarding from 127.0.0.1:41234 -> 8080\n";
        assert_eq!(address(line), Some(([127, 0, 0, 1], 41234).into()));
        assert_eq!(address("error: unable to listen\n"), None);
    }
}
