//! Connections whose mutual TLS is made anew each time.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::net::{PROXY_UID, SERVER};
use super::pair::{self, ports};
use super::{Bench, CORES};
use crate::bench::client::Workload;
use crate::command;

/// Connections that are being made at a time.
const AT_A_TIME: u32 = 8;

impl Bench {
    /// Makes connections with the server's sidecar for some seconds, and gives their number.
    ///
    /// # Errors
    /// When one fails.
    pub(super) fn make_handshakes(&self) -> Result<u64> {
        let file = |name: &str| self.folder.path().join(name);
        let (port, _) = ports(Workload::Http1);
        let scenario = json!({
            "seconds": self.seconds,
            "tls": {
                "certificate": file("client.pem"),
                "key": file("client.key"),
                "roots": file("root.pem"),
                "server": pair::identity("server"),
            },
            "clients": [{
                "name": "handshakes",
                "protocol": "connect",
                "address": format!("{SERVER}:{port}"),
                "connections": AT_A_TIME,
                "tls": true,
            }],
        });
        let path = file("handshakes.json");
        std::fs::write(&path, scenario.to_string())?;
        // As the proxy's user: past the client's sidecar.
        let mut place = self.pods.client.place(CORES[0]);
        place.uid = Some(PROXY_UID);
        let mut load = place.command(&self.load);
        let printed = command::read(load.arg("run").arg(&path))?;
        let last = printed.lines().last().context("mesh-load printed nothing")?;
        let line: Value = serde_json::from_str(last)?;
        let report = &line["report"];
        ensure!(report["failures"] == 0, "handshakes failed: {report:#}");
        let requests = report["clients"][0]["requests"].as_u64().filter(|count| *count > 0);
        requests.with_context(|| format!("no handshake was made: {report:#}"))
    }
}
