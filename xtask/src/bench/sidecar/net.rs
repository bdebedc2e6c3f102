//! Two network namespaces, a veth between them, and the agent's rules in both.

use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command;
use crate::process::Place;

/// Who runs the proxies: what they send is not redirected.
pub(super) const PROXY_UID: u32 = 1337;

/// The address of the server's namespace.
pub(super) const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 77, 2);
const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 99, 77, 1);

/// The namespaces of a client's and a server's pod; removed when dropped.
pub(super) struct Pods {
    pub(super) client: Netns,
    pub(super) server: Netns,
}

pub(super) struct Netns {
    name: String,
}

impl Pods {
    /// Makes them with what `agent redirect` makes of the rules; TCP to `direct` ports goes
    /// past the proxies.
    ///
    /// # Errors
    /// When there is no right to, or iptables does not work.
    pub(super) fn new(agent: &Path, direct: &[u16]) -> Result<Self> {
        let (client, server) = (Netns::new("client")?, Netns::new("server")?);
        let (left, right) = (client.name.as_str(), server.name.as_str());
        ip(&[
            "link", "add", "eth0", "netns", left, "type", "veth", "peer", "name", "eth0", "netns",
            right,
        ])?;
        client.up(CLIENT)?;
        server.up(SERVER)?;
        for netns in [&client, &server] {
            netns.redirect(agent, direct)?;
        }
        Ok(Self { client, server })
    }
}

impl Netns {
    fn new(what: &str) -> Result<Self> {
        let name = format!("mesh-bench-{}-{what}", std::process::id());
        ip(&["netns", "add", &name])?;
        Ok(Self { name })
    }

    /// Inside, on this core; as root unless a user is set.
    pub(super) fn place<'a>(&'a self, core: &'a str) -> Place<'a> {
        Place { netns: Some(&self.name), ..Place::core(core) }
    }

    fn up(&self, address: Ipv4Addr) -> Result<()> {
        let ip = |args: &[&str]| ip(&[&["-n", &self.name], args].concat());
        ip(&["link", "set", "lo", "up"])?;
        ip(&["addr", "add", &format!("{address}/24"), "dev", "eth0"])?;
        ip(&["link", "set", "eth0", "up"])
    }

    fn redirect(&self, agent: &Path, direct: &[u16]) -> Result<()> {
        let ports: Vec<String> = direct.iter().map(u16::to_string).collect();
        let ports = ports.join(",");
        let place = Place { netns: Some(&self.name), ..Place::default() };
        let mut redirect = place.command(agent);
        redirect.args(["redirect", "--proxy-uid", &PROXY_UID.to_string()]);
        redirect.args(["--exclude-outbound-ports", &ports, "--exclude-inbound-ports", &ports]);
        command::read(&mut redirect).map(drop)
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        let _ = ip(&["netns", "delete", &self.name]);
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let mut command = std::process::Command::new("ip");
    command::read(command.args(args)).map(drop).context("making network namespaces")
}
