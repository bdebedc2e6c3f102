//! The table `nat`: everything outbound, and inbound unless TPROXY does it.

use super::rules::{Family, Mode, Rules, Selection};
use super::text::{Table, Text};

const JUMP_IN: &str = "PREROUTING -p tcp -j MESH_INBOUND";
const JUMP_OUT: &str = "OUTPUT -p tcp -j MESH_OUTPUT";

/// With [`Mode::Redirect`].
pub(super) const REDIRECT: Table = Table {
    name: "nat",
    chains: &["MESH_INBOUND", "MESH_IN_REDIRECT", "MESH_OUTPUT", "MESH_REDIRECT"],
    jumps: &[JUMP_IN, JUMP_OUT],
};

/// With [`Mode::Tproxy`].
pub(super) const TPROXY: Table =
    Table { name: "nat", chains: &["MESH_OUTPUT", "MESH_REDIRECT"], jumps: &[JUMP_OUT] };

pub(super) fn fill(text: &mut Text, rules: &Rules, family: Family) {
    text.rule(
        "MESH_REDIRECT",
        format_args!("-p tcp -j REDIRECT --to-ports {}", rules.outbound_port),
    );
    if rules.mode == Mode::Redirect {
        text.rule(
            "MESH_IN_REDIRECT",
            format_args!("-p tcp -j REDIRECT --to-ports {}", rules.inbound_port),
        );
        excluded_interfaces(text, rules, "MESH_INBOUND", "-i");
        inbound(text, rules, "MESH_IN_REDIRECT");
    }
    outbound(text, rules, family);
}

pub(super) fn excluded_interfaces(text: &mut Text, rules: &Rules, chain: &str, direction: &str) {
    if !rules.exclude_interfaces.is_empty() {
        text.why("Networks that are none of the mesh's business.");
    }
    for interface in &rules.exclude_interfaces {
        text.rule(chain, format_args!("{direction} {interface} -j RETURN"));
    }
}

/// What goes to the proxy by `target`, of what comes in.
pub(super) fn inbound(text: &mut Text, rules: &Rules, target: &str) {
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
        Selection::All => text.rule(chain, format_args!("-p tcp -j {target}")),
        Selection::Only(ports) => {
            for port in ports {
                text.rule(chain, format_args!("-p tcp --dport {port} -j {target}"));
            }
        }
    }
}

/// Only TCP gets here, by the jump in OUTPUT: DNS over UDP is not captured.
fn outbound(text: &mut Text, rules: &Rules, family: Family) {
    let chain = "MESH_OUTPUT";
    let id = rules.proxy_uid;
    text.why("The proxy handing a request to the application: redirecting it would be a loop.");
    text.rule(chain, format_args!("-s {} -o lo -j RETURN", family.inbound_source()));
    // With TPROXY, `mangle` does this.
    if rules.mode == Mode::Redirect {
        own_service(text, rules, family);
    }
    text.why("All else that the proxy and the agent send: it has been through the mesh, or is none of it.");
    for owner in ["uid", "gid"] {
        text.rule(chain, format_args!("-m owner --{owner}-owner {id} -j RETURN"));
    }
    text.why("The application talking to itself, on 127.0.0.1 or on the pod's address.");
    text.rule(chain, "-o lo -j RETURN");
    excluded_interfaces(text, rules, chain, "-o");
    if !rules.exclude_outbound_ports.is_empty() || !rules.exclude_outbound_cidrs.is_empty() {
        text.why("What the user keeps out of the mesh; an exclude beats an include.");
    }
    for port in &rules.exclude_outbound_ports {
        text.rule(chain, format_args!("-p tcp --dport {port} -j RETURN"));
    }
    for cidr in rules.exclude_outbound_cidrs.iter().filter(|cidr| family.has(cidr.address)) {
        text.rule(chain, format_args!("-d {cidr} -j RETURN"));
    }
    text.why("The application's own calls.");
    for port in &rules.include_outbound_ports {
        text.rule(chain, format_args!("-p tcp --dport {port} -j MESH_REDIRECT"));
    }
    match &rules.outbound {
        Selection::All => text.rule(chain, "-j MESH_REDIRECT"),
        Selection::Only(cidrs) => {
            for cidr in cidrs.iter().filter(|cidr| family.has(cidr.address)) {
                text.rule(chain, format_args!("-d {cidr} -j MESH_REDIRECT"));
            }
        }
    }
}

/// A pod that calls its own service.
fn own_service(text: &mut Text, rules: &Rules, family: Family) {
    let (chain, id, loopback) = ("MESH_OUTPUT", rules.proxy_uid, family.loopback());
    // Istio jumps to the redirect itself; by way of MESH_INBOUND the excluded ports stay
    // excluded here too.
    text.why("The proxy calling the pod's own address (a pod that calls its own service): over lo, and inbound.");
    for owner in ["uid", "gid"] {
        text.rule(
            chain,
            format_args!("! -d {loopback} -o lo -m owner --{owner}-owner {id} -j MESH_INBOUND"),
        );
    }
}
