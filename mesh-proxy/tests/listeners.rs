//! Redirected connections, in a network namespace with iptables' REDIRECT.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::net::SocketAddr;
use std::process::Command;

use common::{Proxy, greeter, hears, static_cluster, tcp_proxy};
use mesh_testkit::{require_command, require_root};
use nix::sched::{CloneFlags, unshare};

/// The group that the proxy runs as: what it sends is not redirected.
const GROUP: &str = "1337";

/// Puts this thread into a network namespace of its own, in which 10.9.0.0/24 and
/// fd09::/64 are this machine's and all connections to them are redirected to port 15001,
/// except those to port 15001 and above, and those to port 8080, which go to 15006.
/// `false` when that cannot be done here, which was said then.
fn redirected() -> bool {
    let tools = ["ip", "iptables", "ip6tables", "setpriv"];
    if !require_root() || tools.iter().any(|tool| require_command(tool).is_none()) {
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link set lo up");
    run("ip route add local 10.9.0.0/24 dev lo");
    run("ip -6 route add local fd09::/64 dev lo");
    run("ip -6 address add fd09::1/128 dev lo nodad");
    for (command, network) in [("iptables", "10.9.0.0/24"), ("ip6tables", "fd09::/64")] {
        let rule = format!(
            "{command} -t nat -A OUTPUT -p tcp -d {network} -m owner ! --gid-owner {GROUP}"
        );
        run(&format!("{rule} --dport 8080 -j REDIRECT --to-ports 15006"));
        run(&format!("{rule} --dport 1:15000 -j REDIRECT --to-ports 15001"));
    }
    true
}

fn run(line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    let output = Command::new(words[0]).args(&words[1..]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

fn start(listeners: &[String], clusters: &[String]) -> Proxy {
    let mut command = Command::new("setpriv");
    command.args(["--regid", GROUP, "--clear-groups", env!("CARGO_BIN_EXE_mesh-proxy")]);
    Proxy::start_by(&mut command, listeners, clusters)
}

fn at(address: &str) -> SocketAddr {
    address.parse().unwrap()
}

/// A listener with `use_original_dst` whose own filter passes connections on to where they
/// were going; `trap` is another chain, flow YAML ended by a comma, or nothing.
fn outbound(name: &str, address: &str, trap: &str) -> String {
    let (ip, port) = (at(address).ip(), at(address).port());
    format!(
        "  - {{name: {name}, use_original_dst: true, address: {{socket_address: {{address: '{ip}', port_value: {port}}}}}, \
         filter_chains: [{trap} {{filters: [{}]}}]}}\n",
        tcp_proxy("cluster: passthrough")
    )
}

fn unbound(name: &str, address: &str) -> String {
    let filter = tcp_proxy(&format!("cluster: {name}"));
    common::listener(name, at(address), "bind_to_port: false,", &filter)
}

fn passthrough() -> String {
    "  - {name: passthrough, type: ORIGINAL_DST, lb_policy: CLUSTER_PROVIDED, connect_timeout: 5s}\n"
        .to_owned()
}

fn cluster(name: &'static str) -> String {
    static_cluster(name, &[greeter(name, "127.0.0.1:0")])
}

#[test]
fn a_redirected_connection_goes_to_the_listener_of_its_destination() {
    if !redirected() {
        return;
    }
    let listeners = [
        outbound("four", "0.0.0.0:15001", ""),
        outbound("six", "[::]:15001", ""),
        unbound("exact", "10.9.0.1:9080"),
        unbound("wildcard", "0.0.0.0:9080"),
        unbound("wildcard6", "[::]:9080"),
    ];
    let clusters = [passthrough(), cluster("exact"), cluster("wildcard"), cluster("wildcard6")];
    let _proxy = start(&listeners, &clusters);
    greeter("four itself", "10.9.0.1:7000");
    greeter("six itself", "[fd09::1]:7000");
    for (destination, answer) in [
        ("10.9.0.1:9080", "exact"),
        ("10.9.0.2:9080", "wildcard"),
        ("[fd09::1]:9080", "wildcard6"),
        ("10.9.0.1:7000", "four itself"),
        ("[fd09::1]:7000", "six itself"),
        ("10.9.0.1:7001", ""),
    ] {
        assert_eq!(hears(at(destination)), answer, "{destination}");
    }
}

#[test]
fn a_direct_connection_is_not_proxied_to_the_proxy() {
    if !redirected() {
        return;
    }
    let trap = format!(
        "{{filter_chain_match: {{destination_port: 15002}}, filters: [{}]}},",
        tcp_proxy("cluster: trap")
    );
    let listeners =
        [outbound("plain", "0.0.0.0:15001", ""), outbound("trapped", "0.0.0.0:15002", &trap)];
    let _proxy = start(&listeners, &[passthrough(), cluster("trap")]);
    for address in ["127.0.0.1:15001", "10.9.0.1:15001"] {
        assert_eq!(hears(at(address)), "", "{address}");
    }
    assert_eq!(hears(at("10.9.0.1:15002")), "trap");
}

#[test]
fn the_destination_chooses_the_filter_chain() {
    if !redirected() {
        return;
    }
    let chain = |matcher: &str, cluster: &str| {
        let filter = tcp_proxy(&format!("cluster: {cluster}"));
        format!("{{filter_chain_match: {matcher}, filters: [{filter}]}}")
    };
    let original_dst =
        "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
    let chains = [
        chain("{destination_port: 8080}", "port"),
        chain(
            "{destination_port: 8080, prefix_ranges: [{address_prefix: 10.9.0.128, prefix_len: 25}]}",
            "range",
        ),
        chain("{destination_port: 15006}", "itself"),
    ];
    let listener = format!(
        "  - {{name: inbound, address: {{socket_address: {{address: 0.0.0.0, port_value: 15006}}}}, \
         listener_filters: [{{name: original_dst, typed_config: {{'@type': {original_dst}}}}}], \
         filter_chains: [{}]}}\n",
        chains.join(", ")
    );
    let _proxy = start(&[listener], &[cluster("port"), cluster("range"), cluster("itself")]);
    for (destination, answer) in
        [("10.9.0.1:8080", "port"), ("10.9.0.200:8080", "range"), ("10.9.0.200:15006", "itself")]
    {
        assert_eq!(hears(at(destination)), answer, "{destination}");
    }
}

#[test]
fn what_tproxy_sends_keeps_its_destination() {
    let tools = ["ip", "iptables", "ip6tables"];
    if !require_root() || tools.iter().any(|tool| require_command(tool).is_none()) {
        return;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    run("ip link set lo up");
    run("ip route add local 10.9.0.0/24 dev lo");
    run("ip -6 route add local fd09::/64 dev lo");
    run("ip -6 address add fd09::1/128 dev lo nodad");
    for (family, command, all) in [("-4", "iptables", "0.0.0.0/0"), ("-6", "ip6tables", "::/0")] {
        run(&format!("ip {family} rule add fwmark 1 lookup 100"));
        run(&format!("ip {family} route add local {all} dev lo table 100"));
        run(&format!(
            "{command} -t mangle -A PREROUTING -p tcp --dport 9080 -j TPROXY --on-port 15006 --tproxy-mark 1"
        ));
    }
    let original_dst =
        "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst";
    let listener = |name: &str, address: &str| {
        let filter = |cluster: &str| tcp_proxy(&format!("cluster: {cluster}"));
        format!(
            "  - {{name: {name}, transparent: true, address: {{socket_address: {{address: '{address}', port_value: 15006}}}}, \
             listener_filters: [{{name: dst, typed_config: {{'@type': {original_dst}}}}}], \
             filter_chains: [{{filter_chain_match: {{destination_port: 9080}}, filters: [{}]}}], \
             default_filter_chain: {{filters: [{}]}}}}\n",
            filter("sent"),
            filter("direct")
        )
    };
    let listeners = [listener("four", "0.0.0.0"), listener("six", "::")];
    let _proxy = start(&listeners, &[cluster("sent"), cluster("direct")]);
    for destination in ["10.9.0.7:9080", "[fd09::7]:9080"] {
        assert_eq!(hears(at(destination)), "sent", "{destination}");
    }
    assert_eq!(hears(at("127.0.0.1:15006")), "direct");
}
