//! The table `mangle`: inbound by TPROXY. A packet keeps its destination, is marked, and the
//! mark's route brings it to a listener that takes any destination (Istio's marks and table).

use super::nat;
use super::rules::{Family, Rules};
use super::text::{Table, Text};

/// Of packets that a local socket is to take; `ip rule` has a table of routes for it.
pub(super) const MARK: u32 = 1337;
/// Of what the proxy sends to the pod itself.
const OWN_MARK: u32 = 1338;

pub(super) const TABLE: Table = Table {
    name: "mangle",
    chains: &["MESH_DIVERT", "MESH_TPROXY", "MESH_INBOUND", "MESH_OUTPUT"],
    jumps: &["PREROUTING -p tcp -j MESH_INBOUND", "OUTPUT -p tcp -j MESH_OUTPUT"],
};

pub(super) fn fill(text: &mut Text, rules: &Rules, family: Family) {
    let loopback = family.loopback();
    text.rule("MESH_DIVERT", format_args!("-j MARK --set-mark {MARK}"));
    text.rule("MESH_DIVERT", "-j ACCEPT");
    let port = rules.inbound_port;
    text.rule(
        "MESH_TPROXY",
        format_args!("! -d {loopback} -p tcp -j TPROXY --on-port {port} --tproxy-mark {MARK}"),
    );
    inbound(text, rules, family);
    text.why("The proxy calling the pod's own address (a pod that calls its own service): over lo, and inbound.");
    for owner in ["uid", "gid"] {
        let id = rules.proxy_uid;
        let owned = format!("! -d {loopback} -o lo -m owner --{owner}-owner {id}");
        text.rule("MESH_OUTPUT", format_args!("{owned} -j MARK --set-mark {OWN_MARK}"));
    }
}

fn inbound(text: &mut Text, rules: &Rules, family: Family) {
    let chain = "MESH_INBOUND";
    text.why(
        "The proxy handing a request to the application, and the application talking to itself.",
    );
    text.rule(chain, format_args!("-s {} -i lo -j RETURN", family.inbound_source()));
    text.rule(chain, format_args!("-i lo -m mark ! --mark {OWN_MARK} -j RETURN"));
    nat::excluded_interfaces(text, rules, chain, "-i");
    text.why("A connection that is there already, the answers to the pod's own calls among them.");
    text.rule(chain, "-m conntrack --ctstate RELATED,ESTABLISHED -j MESH_DIVERT");
    nat::inbound(text, rules, "MESH_TPROXY");
}
