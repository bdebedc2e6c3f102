//! The rules as a text for `iptables-restore --noflush`, by a pure function.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

/// What to redirect, checked.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) proxy_uid: u32,
    pub(super) outbound_port: u16,
    pub(super) inbound_port: u16,
    pub(super) inbound: Selection<u16>,
    pub(super) exclude_inbound_ports: Vec<u16>,
    pub(super) include_outbound_ports: Vec<u16>,
    pub(super) exclude_outbound_ports: Vec<u16>,
    pub(super) outbound: Selection<Cidr>,
    pub(super) exclude_outbound_cidrs: Vec<Cidr>,
}

#[derive(Clone, Debug)]
pub(super) enum Selection<T> {
    All,
    Only(Vec<T>),
}

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Cidr {
    pub(super) address: IpAddr,
    pub(super) bits: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    pub(super) fn command(self) -> &'static str {
        match self {
            Self::V4 => "iptables",
            Self::V6 => "ip6tables",
        }
    }

    fn loopback(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.0/8",
            Self::V6 => "::1/128",
        }
    }

    /// What the proxy sends from when it hands a request to the application.
    fn inbound_source(self) -> &'static str {
        match self {
            Self::V4 => "127.0.0.6/32",
            Self::V6 => "::6/128",
        }
    }

    fn has(self, cidr: &Cidr) -> bool {
        cidr.address.is_ipv4() == (self == Self::V4)
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

const JUMP_IN: &str = "-A PREROUTING -p tcp -j MESH_INBOUND";
const JUMP_OUT: &str = "-A OUTPUT -p tcp -j MESH_OUTPUT";

/// Which of the two jumps an earlier run has left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Present {
    inbound: bool,
    outbound: bool,
}

impl Present {
    /// Looks in what `iptables-save` printed.
    pub(super) fn find(saved: &str) -> Self {
        let has = |rule: &str| saved.lines().any(|line| line.trim_end() == rule);
        Self { inbound: has(JUMP_IN), outbound: has(JUMP_OUT) }
    }
}

/// The whole text. Naming a chain of ours empties it, so that a second run leaves the same
/// rules; only the two jumps stand in chains that are not ours.
pub(super) fn restore_text(rules: &Rules, family: Family, present: Present) -> String {
    let mut text = Text(String::from("*nat\n"));
    for chain in ["MESH_INBOUND", "MESH_IN_REDIRECT", "MESH_OUTPUT", "MESH_REDIRECT"] {
        text.line(format_args!(":{chain} - [0:0]"));
    }
    targets(&mut text, rules);
    inbound(&mut text, rules);
    outbound(&mut text, rules, family);
    if !present.inbound {
        text.line(JUMP_IN);
    }
    if !present.outbound {
        text.line(JUMP_OUT);
    }
    text.line("COMMIT");
    text.0
}

fn targets(text: &mut Text, rules: &Rules) {
    text.rule(
        "MESH_REDIRECT",
        format_args!("-p tcp -j REDIRECT --to-ports {}", rules.outbound_port),
    );
    text.rule(
        "MESH_IN_REDIRECT",
        format_args!("-p tcp -j REDIRECT --to-ports {}", rules.inbound_port),
    );
}

fn inbound(text: &mut Text, rules: &Rules) {
    let chain = "MESH_INBOUND";
    if !rules.exclude_inbound_ports.is_empty() {
        text.why(
            "The agent's and the proxy's own ports, and those the user keeps out of the mesh.",
        );
    }
    for port in &rules.exclude_inbound_ports {
        text.rule(chain, format_args!("-p tcp --dport {port} -j RETURN"));
    }
    match &rules.inbound {
        Selection::All => text.rule(chain, "-p tcp -j MESH_IN_REDIRECT"),
        Selection::Only(ports) => {
            for port in ports {
                text.rule(chain, format_args!("-p tcp --dport {port} -j MESH_IN_REDIRECT"));
            }
        }
    }
}

/// Only TCP gets here, by the jump in OUTPUT: DNS over UDP is not captured.
fn outbound(text: &mut Text, rules: &Rules, family: Family) {
    let chain = "MESH_OUTPUT";
    let (id, loopback) = (rules.proxy_uid, family.loopback());
    text.why("The proxy handing a request to the application: redirecting it would be a loop.");
    text.rule(chain, format_args!("-s {} -o lo -j RETURN", family.inbound_source()));
    // Istio jumps to the redirect itself; by way of MESH_INBOUND the excluded ports stay
    // excluded here too.
    text.why("The proxy calling the pod's own address (a pod that calls its own service): over lo, and inbound.");
    for owner in ["uid", "gid"] {
        text.rule(
            chain,
            format_args!("! -d {loopback} -o lo -m owner --{owner}-owner {id} -j MESH_INBOUND"),
        );
    }
    text.why("All else that the proxy and the agent send: it has been through the mesh, or is none of it.");
    for owner in ["uid", "gid"] {
        text.rule(chain, format_args!("-m owner --{owner}-owner {id} -j RETURN"));
    }
    text.why("The application talking to itself, on 127.0.0.1 or on the pod's address.");
    text.rule(chain, "-o lo -j RETURN");
    if !rules.exclude_outbound_ports.is_empty() || !rules.exclude_outbound_cidrs.is_empty() {
        text.why("What the user keeps out of the mesh; an exclude beats an include.");
    }
    for port in &rules.exclude_outbound_ports {
        text.rule(chain, format_args!("-p tcp --dport {port} -j RETURN"));
    }
    for cidr in rules.exclude_outbound_cidrs.iter().filter(|cidr| family.has(cidr)) {
        text.rule(chain, format_args!("-d {cidr} -j RETURN"));
    }
    text.why("The application's own calls.");
    for port in &rules.include_outbound_ports {
        text.rule(chain, format_args!("-p tcp --dport {port} -j MESH_REDIRECT"));
    }
    match &rules.outbound {
        Selection::All => text.rule(chain, "-j MESH_REDIRECT"),
        Selection::Only(cidrs) => {
            for cidr in cidrs.iter().filter(|cidr| family.has(cidr)) {
                text.rule(chain, format_args!("-d {cidr} -j MESH_REDIRECT"));
            }
        }
    }
}

struct Text(String);

impl Text {
    fn line(&mut self, line: impl fmt::Display) {
        // Writing to a String does not fail.
        let _ = writeln!(self.0, "{line}");
    }

    fn rule(&mut self, chain: &str, rule: impl fmt::Display) {
        self.line(format_args!("-A {chain} {rule}"));
    }

    fn why(&mut self, reason: &str) {
        self.line(format_args!("# {reason}"));
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::redirect::Args;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn rules(args: &[&str]) -> Rules {
        let args = ["test"].iter().chain(args);
        Cli::try_parse_from(args).unwrap().args.rules().unwrap()
    }

    #[test]
    fn everything_but_the_excluded() {
        let args = [
            "--exclude-inbound-ports=15020,15021,15090,22",
            "--exclude-outbound-ports=3306",
            "--exclude-outbound-cidrs=10.1.0.0/16,fd00::/8",
        ];
        let text = restore_text(&rules(&args), Family::V4, Present::default());
        assert_eq!(text, include_str!("../../tests/golden/everything.v4.rules"));
        let text = restore_text(&rules(&args), Family::V6, Present::default());
        assert_eq!(text, include_str!("../../tests/golden/everything.v6.rules"));
    }

    #[test]
    fn only_the_included() {
        let args = [
            "--proxy-uid=4000",
            "--include-inbound-ports=8080",
            "--include-outbound-ports=9000",
            "--include-outbound-cidrs=10.0.0.0/8",
        ];
        let text = restore_text(&rules(&args), Family::V4, Present::default());
        assert_eq!(text, include_str!("../../tests/golden/included.v4.rules"));
    }

    #[test]
    fn jumps_are_added_once() {
        let saved = format!("*nat\n{JUMP_IN}\n-A PREROUTING -j DOCKER\nCOMMIT\n");
        let present = Present::find(&saved);
        assert_eq!(present, Present { inbound: true, outbound: false });
        let text = restore_text(&rules(&[]), Family::V4, present);
        assert!(!text.contains(JUMP_IN) && text.contains(JUMP_OUT));
    }
}
