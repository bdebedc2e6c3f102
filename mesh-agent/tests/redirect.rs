//! The rules at work: a pod and an outside, each a network namespace, joined by a veth.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use common::{Namespace, ip, possible, run};
use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use socket2::{Domain, SockRef, Socket, Type};

const POD: &str = "10.244.9.2";
const POD6: &str = "fd00:9::2";
/// Addresses of the outside, one of them in an excluded range.
const SERVICE: &str = "10.96.0.10";
const SERVICE6: &str = "fd00:96::10";
const EXCLUDED: &str = "10.97.0.10";

const APP_UID: u32 = 4242;
const PROXY_UID: u32 = 1337;

struct Mesh {
    pod: Namespace,
    outside: Namespace,
}

/// A pod with a proxy's and an application's listeners, and an outside with its own.
fn mesh(inbound: Listener) -> Mesh {
    let mesh = bare_mesh();
    for listener in ["0.0.0.0:15001", "[::]:15001"] {
        serve("proxy", listener);
    }
    for listener in ["0.0.0.0:15006", "[::]:15006"] {
        serve_as("proxy", listener, inbound);
    }
    for listener in ["0.0.0.0:8080", "[::]:8080", "0.0.0.0:15021", "0.0.0.0:2222"] {
        serve("app", listener);
    }
    mesh
}

/// The same without anybody who listens in the pod; this thread is in the pod.
fn bare_mesh() -> Mesh {
    let pod = Namespace::new();
    let outside = Namespace::new();
    pod.enter();
    ip(&format!("link add pod0 type veth peer name out0 netns {}", outside.path()));
    ip(&format!("addr add {POD}/16 dev pod0"));
    ip(&format!("addr add {POD6}/64 dev pod0 nodad"));
    ip("link set pod0 up");
    outside.enter();
    for address in ["10.244.0.1/16", &format!("{SERVICE}/32"), &format!("{EXCLUDED}/32")] {
        ip(&format!("addr add {address} dev out0"));
    }
    for address in ["fd00:9::1/64", &format!("{SERVICE6}/128")] {
        ip(&format!("addr add {address} dev out0 nodad"));
    }
    ip("link set out0 up");
    for port in [80, 3306] {
        serve("outside", &format!("0.0.0.0:{port}"));
    }
    serve("outside", "[::]:8080");
    pod.enter();
    ip("route add default via 10.244.0.1");
    ip("-6 route add default via fd00:9::1");
    Mesh { pod, outside }
}

/// Answers each connection with a name, its port and, in the proxy, the original
/// destination. The thread ends with the test's process.
fn serve(name: &'static str, address: &str) {
    serve_as(name, address, Listener::Plain);
}

#[derive(Clone, Copy, PartialEq)]
enum Listener {
    Plain,
    Transparent,
}

fn serve_as(name: &'static str, address: &str, kind: Listener) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    if address.is_ipv6() {
        socket.set_only_v6(true).unwrap();
    }
    if kind == Listener::Transparent {
        socket.set_ip_transparent_v4(true).unwrap();
    }
    socket.bind(&address.into()).unwrap();
    socket.listen(16).unwrap();
    let listener = TcpListener::from(socket);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let answer = match name {
                "proxy" => format!("{} {}", address.port(), original_destination(&stream)),
                name => format!("{name} {}", address.port()),
            };
            // A caller that left early has had its answer.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
}

fn original_destination(stream: &TcpStream) -> SocketAddr {
    let socket = SockRef::from(stream);
    if socket.ip_transparent_v4().unwrap() {
        return stream.local_addr().unwrap();
    }
    let original = match stream.local_addr().unwrap() {
        SocketAddr::V4(_) => socket.original_dst_v4(),
        SocketAddr::V6(_) => socket.original_dst_v6(),
    };
    original.unwrap().as_socket().unwrap()
}

/// Connects from this thread's namespace as another user, and gives what it was told.
fn connect_as(uid: u32, gid: u32, from: Option<&str>, to: &str) -> String {
    let to: SocketAddr = to.parse().unwrap();
    let from: Option<IpAddr> = from.map(|address| address.parse().unwrap());
    let caller = thread::spawn(move || {
        // A socket's owner, for iptables, is the file system user of the thread that made it.
        setfsgid(Gid::from_raw(gid));
        setfsuid(Uid::from_raw(uid));
        let socket = Socket::new(Domain::for_address(to), Type::STREAM, None).unwrap();
        if let Some(from) = from {
            socket.bind(&SocketAddr::new(from, 0).into()).unwrap();
        }
        match socket.connect_timeout(&to.into(), mesh_testkit::DEADLINE) {
            Ok(()) => {
                let mut answer = String::new();
                TcpStream::from(socket).read_to_string(&mut answer).unwrap();
                answer
            }
            Err(error) => error.to_string(),
        }
    });
    caller.join().unwrap()
}

fn app(to: &str) -> String {
    connect_as(APP_UID, APP_UID, None, to)
}

fn proxy(to: &str) -> String {
    connect_as(PROXY_UID, PROXY_UID, None, to)
}

fn redirect(variant: &str, mode: &str) -> String {
    let args = [
        "redirect",
        "--iptables",
        variant,
        "--mode",
        mode,
        "--exclude-inbound-ports=15020,15021,15090,2222",
        "--exclude-outbound-ports=3306",
        "--exclude-outbound-cidrs=10.97.0.0/16",
    ];
    run(env!("CARGO_BIN_EXE_mesh-agent"), &args)
}

/// The rules as they are now, without the counters and times.
fn rules(command: &str) -> Vec<String> {
    run(command, &[])
        .lines()
        // Tables that were looked into stay, with their built-in chains.
        .filter(|line| line.starts_with("-A") || line.starts_with(":MESH_"))
        .map(|line| line.split(" [").next().unwrap_or_default().to_owned())
        .collect()
}

fn outbound() {
    assert_eq!(app(&format!("{SERVICE}:80")), format!("15001 {SERVICE}:80"));
    assert_eq!(app(&format!("[{SERVICE6}]:80")), format!("15001 [{SERVICE6}]:80"));
    assert_eq!(proxy(&format!("{SERVICE}:80")), "outside 80", "by user and group");
    assert_eq!(connect_as(PROXY_UID, 0, None, &format!("{SERVICE}:80")), "outside 80", "user");
    assert_eq!(connect_as(0, PROXY_UID, None, &format!("{SERVICE}:80")), "outside 80", "group");
    assert_eq!(proxy(&format!("[{SERVICE6}]:8080")), "outside 8080");
    assert_eq!(app(&format!("{SERVICE}:3306")), "outside 3306", "excluded port");
    assert_eq!(app(&format!("{EXCLUDED}:80")), "outside 80", "excluded range");
}

fn loopback() {
    assert_eq!(app("127.0.0.1:8080"), "app 8080");
    assert_eq!(app(&format!("{POD}:8080")), "app 8080", "itself, by its address");
    assert_eq!(proxy("127.0.0.1:8080"), "app 8080");
    assert_eq!(proxy("[::1]:8080"), "app 8080");
    // The pod's own service: by the proxy, over lo, to the pod's own address.
    assert_eq!(proxy(&format!("{POD}:8080")), format!("15006 {POD}:8080"));
    assert_eq!(proxy(&format!("[{POD6}]:8080")), format!("15006 [{POD6}]:8080"));
    assert_eq!(proxy(&format!("{POD}:15021")), "app 15021", "excluded there, too");
    // The same connection as the proxy makes it for the application.
    let inbound = connect_as(PROXY_UID, PROXY_UID, Some("127.0.0.6"), &format!("{POD}:8080"));
    assert_eq!(inbound, "app 8080");
}

fn inbound() {
    assert_eq!(app(&format!("{POD}:8080")), format!("15006 {POD}:8080"));
    assert_eq!(app(&format!("{POD}:9999")), format!("15006 {POD}:9999"), "whoever listens");
    assert_eq!(app(&format!("[{POD6}]:8080")), format!("15006 [{POD6}]:8080"));
    assert_eq!(app(&format!("{POD}:15021")), "app 15021");
    assert_eq!(app(&format!("{POD}:2222")), "app 2222");
}

fn check(variant: &str, mode: &str, listener: Listener) {
    let mesh = mesh(listener);
    redirect(variant, mode);
    outbound();
    loopback();
    mesh.outside.enter();
    inbound();

    mesh.pod.enter();
    let all_rules = || {
        let commands = ["iptables", "ip6tables"].map(|name| format!("{name}-{variant}-save"));
        let routing = ["rule show", "-6 rule show"].map(|args| run("ip", &words(args)));
        (commands.map(|command| rules(&command)), routing)
    };
    let once = all_rules();
    assert!(once.0.iter().all(|all| all.iter().any(|rule| rule.contains("MESH_OUTPUT"))));
    redirect("auto", mode);
    assert_eq!(all_rules(), once, "a second run, which finds the variant by itself");

    // The other mode takes the place of this one, and leaves nothing of it.
    redirect("auto", if mode == "tproxy" { "redirect" } else { "tproxy" });
    assert_ne!(all_rules(), once);
    redirect("auto", mode);
    assert_eq!(all_rules(), once);

    clean();
    let (rules, routing) = all_rules();
    assert!(!format!("{rules:?}").contains("MESH_"), "{rules:?}");
    assert!(!routing.concat().contains("lookup 133"), "{routing:?}");
    assert_eq!(app(&format!("{SERVICE}:80")), "outside 80");
    assert_eq!(clean(), "", "nothing is left to do");
}

fn clean() -> String {
    run(env!("CARGO_BIN_EXE_mesh-agent"), &["redirect", "--clean"])
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').collect()
}

#[test]
fn traffic_goes_where_it_must_nft() {
    if possible(&["ip", "iptables-nft", "ip6tables-nft"]) {
        check("nft", "redirect", Listener::Plain);
    }
}

#[test]
fn traffic_goes_where_it_must_legacy() {
    if possible(&["ip", "iptables-legacy", "ip6tables-legacy"]) {
        check("legacy", "redirect", Listener::Plain);
    }
}

#[test]
fn traffic_goes_where_it_must_tproxy_nft() {
    if possible(&["ip", "iptables-nft", "ip6tables-nft"]) {
        check("nft", "tproxy", Listener::Transparent);
    }
}

#[test]
fn traffic_goes_where_it_must_tproxy_legacy() {
    if possible(&["ip", "iptables-legacy", "ip6tables-legacy"]) {
        check("legacy", "tproxy", Listener::Transparent);
    }
}

/// The agent's exit code, and what it said on standard output and standard error.
fn agent(args: &[&str]) -> (Option<i32>, String, String) {
    let agent = env!("CARGO_BIN_EXE_mesh-agent");
    let output = std::process::Command::new(agent).arg("redirect").args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn the_rules_are_tried_in_both_families_and_directions() {
    if !possible(&["ip", "iptables-nft", "ip6tables-nft"]) {
        return;
    }
    let _mesh = bare_mesh();
    for mode in ["redirect", "tproxy"] {
        let (code, said, error) = agent(&["--iptables", "nft", "--mode", mode]);
        assert_eq!(code, Some(0), "{error}");
        for expected in [
            "IPv4 outbound: a connection to 192.0.2.1:80 arrives at port 15001".to_owned(),
            format!("IPv4 inbound: a connection to {POD}:1024 arrives at port 15006"),
            "IPv6 outbound: a connection to [2001:db8::1]:80 arrives at port 15001".to_owned(),
            format!("IPv6 inbound: a connection to [{POD6}]:1024 arrives at port 15006"),
        ] {
            assert!(said.contains(&expected), "{expected} in {said}");
        }
    }
    let only = ["--include-outbound-cidrs=10.96.0.0/16", "--include-inbound-ports=8080"];
    let (code, said, error) = agent(&only);
    assert_eq!(code, Some(0), "{error}");
    for expected in [
        "IPv4 outbound: a connection to 10.96.0.1:80 arrives",
        &format!("IPv4 inbound: a connection to {POD}:8080 arrives"),
        "IPv6 outbound: not tried: no address outside is both reachable and redirected",
    ] {
        assert!(said.contains(expected), "{expected} in {said}");
    }
}

#[test]
fn what_another_rule_takes_fails_and_stays_closed() {
    if !possible(&["ip", "iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"]) {
        return;
    }
    let _mesh = bare_mesh();
    run("iptables-nft", &words("-A INPUT -p tcp --dport 15006 -j REJECT"));
    let (code, said, error) = agent(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("IPv4 outbound: a connection to"), "{said}");
    let reason = "IPv4: the inbound rules are set but do not work. They stay, so that nothing \
                  passes by the proxy (mesh-agent redirect --clean removes them): a connection to \
                  10.244.9.2:1024 does not arrive at port 15006";
    assert!(error.contains(reason), "{error}");
    assert_eq!(app(&format!("{SERVICE}:80")), "Connection refused (os error 111)", "closed");
    run("iptables-nft", &["-F", "INPUT"]);
    assert_eq!(agent(&[]).0, Some(0));
    clean();

    run("ip6tables-legacy", &words("-t nat -A OUTPUT -p tcp --dport 80 -j REDIRECT --to-ports 9"));
    let (code, _, error) = agent(&["--iptables", "nft"]);
    let reason = "a connection to [2001:db8::1]:80 does not arrive at port 15001";
    assert!(code == Some(1) && error.contains(reason), "{error}");
}

#[test]
fn two_kinds_of_iptables_that_contradict_are_an_error() {
    if !possible(&["ip", "iptables-nft", "iptables-legacy"]) {
        return;
    }
    let _mesh = bare_mesh();
    for command in ["iptables-nft", "iptables-legacy"] {
        run(command, &words("-t nat -A OUTPUT -d 127.0.0.11 -j ACCEPT"));
    }
    let (code, _, error) = agent(&[]);
    assert!(code == Some(1) && error.contains("both have rules here"), "{error}");
    let (code, _, error) = agent(&["--iptables", "legacy"]);
    assert_eq!(code, Some(0), "{error}");
    let (code, _, error) = agent(&["--iptables", "nft"]);
    let earlier = "rules of an earlier run are in iptables-legacy";
    assert!(code == Some(1) && error.contains(earlier), "{error}");
    clean();
    assert_eq!(agent(&["--iptables", "nft"]).0, Some(0));
}

#[test]
fn an_excluded_interface_is_left_alone() {
    if !possible(&["ip", "iptables-nft", "ip6tables-nft"]) {
        return;
    }
    let mesh = mesh(Listener::Plain);
    let (code, _, error) = agent(&["--exclude-interfaces=pod+"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(app(&format!("{SERVICE}:80")), "outside 80");
    assert_eq!(app(&format!("[{SERVICE6}]:8080")), "outside 8080");
    assert_eq!(proxy(&format!("{POD}:8080")), format!("15006 {POD}:8080"), "over lo");
    mesh.outside.enter();
    assert_eq!(app(&format!("{POD}:8080")), "app 8080");
}

#[test]
fn without_iptables_it_names_the_program() {
    if !possible(&["ip"]) {
        return;
    }
    let _mesh = bare_mesh();
    let agent = env!("CARGO_BIN_EXE_mesh-agent");
    let output = std::process::Command::new(agent).arg("redirect").env("PATH", "/none").output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains("iptables-save is not in the PATH: install iptables"), "{said}");
}

#[test]
fn without_the_capability_it_says_so() {
    if !possible(&["setpriv"]) {
        return;
    }
    let agent = env!("CARGO_BIN_EXE_mesh-agent");
    let output = std::process::Command::new("setpriv")
        .args(["--bounding-set=-net_admin", "--inh-caps=-net_admin", agent, "redirect"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said.contains("the capability NET_ADMIN is missing") && said.contains("securityContext"),
        "{said}"
    );
}
