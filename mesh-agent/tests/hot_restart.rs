//! The agent replaces a proxy while traffic flows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod common;
mod load;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use common::{Agent, Namespace, becomes, possible};
use load::Load;
use mesh_testkit::{copy_program, envoy, eventually};
use nix::sys::signal::{Signal, kill};

/// Answers by itself on 8000; `name` tells one from another. What connects to 8001 goes on
/// to 9000.
fn configuration(name: &str) -> String {
    format!(
        "
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 15000}}}}}}
node: {{id: test, cluster: test}}
static_resources:
  listeners:
  - name: http
    address: {{socket_address: {{address: 127.0.0.1, port_value: 8000}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config:
            name: own
            virtual_hosts:
            - name: all
              domains: ['*']
              routes:
              - match: {{prefix: /}}
                direct_response: {{status: 200, body: {{inline_string: '{name}'}}}}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              '@type': type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  - name: tcp
    address: {{socket_address: {{address: 127.0.0.1, port_value: 8001}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tcp
          cluster: tcp
  clusters:
  - name: tcp
    type: STATIC
    load_assignment:
      cluster_name: tcp
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 9000}}}}}}
"
    )
}

/// Flags; `shutdown` is for how many seconds an old generation may go on.
fn times(shutdown: &str) -> [&str; 8] {
    [
        "--minimum-drain-s",
        "0",
        "--drain-time-s",
        "1",
        "--parent-shutdown-time-s",
        shutdown,
        "--concurrency",
        "1",
    ]
}

/// For tests that do not look at an old generation.
const SHORT: &str = "3";
/// For those that wait until it has left, after they have seen it.
const MIDDLE: &str = "6";
/// For those that look at it alone.
const LONG: &str = "60";

struct Fixture {
    agent: Agent,
    _namespace: Namespace,
}

/// An agent with this proxy, which serves.
fn serving(proxy: &Path) -> Fixture {
    serving_with(SHORT, |_| proxy.to_owned())
}

/// The same; an old generation may go on for so long.
fn serving_for(shutdown: &str, proxy: &Path) -> Fixture {
    serving_with(shutdown, |_| proxy.to_owned())
}

fn serving_with(shutdown: &str, prepare: impl FnOnce(&Path) -> PathBuf) -> Fixture {
    let namespace = Namespace::new();
    let agent = Agent::start_static(&configuration("one"), prepare, &times(shutdown));
    becomes("200", "ready");
    agent.generations(&[(0, "serving")]);
    Fixture { agent, _namespace: namespace }
}

fn answer() -> Option<String> {
    let mut stream = TcpStream::connect("127.0.0.1:8000").ok()?;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

/// A connection that keeps a proxy from leaving.
struct Connection(#[expect(dead_code, reason = "is only to be open")] [TcpStream; 2]);

impl Connection {
    fn open() -> Self {
        let upstream = TcpListener::bind("127.0.0.1:9000").unwrap();
        let client = TcpStream::connect("127.0.0.1:8001").unwrap();
        Self([client, upstream.accept().unwrap().0])
    }
}

impl Fixture {
    fn own_file(&self) -> PathBuf {
        self.agent.folder.path().join("own.yaml")
    }

    /// As an editor or a package manager does.
    fn replace(&self, path: &Path, content: &[u8]) {
        let new = self.agent.folder.path().join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// The same with a program.
    fn replace_program(&self, path: &Path, program: &Path) {
        let new = self.agent.folder.path().join("new");
        copy_program(program, &new);
        fs::rename(new, path).unwrap();
    }

    fn last_restart(&self, part: &str) {
        let what = format!("a restart with {part:?}");
        eventually(&what, || {
            let last = self.agent.status()?["last_restart"].to_string();
            last.contains(part).then_some(())
        });
    }
}

fn by_signal_by_command_and_by_file(proxy: &Path) {
    let test = serving_for(MIDDLE, proxy);
    let connection = Connection::open();
    test.agent.signal(Signal::SIGHUP);
    test.agent.generations(&[(0, "draining"), (1, "serving")]);
    test.last_restart("SIGHUP");
    // The third one waits for the first to leave.
    let (code, said) = test.agent.restart();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("generation 2 has taken over"), "{said}");
    drop(connection);
    test.replace(&test.own_file(), configuration("two").as_bytes());
    eventually("the new configuration", || (answer()? == "two").then_some(()));
    test.agent.generations(&[(3, "serving")]);
    assert!(test.agent.config("rev3.yaml").unwrap().contains("two"));
    assert!(test.agent.config("rev2.yaml").is_some(), "the last two are kept");
    assert!(test.agent.config("rev1.yaml").is_none());
}

fn a_bad_file_leaves_the_old_one(proxy: &Path) {
    let test = serving(proxy);
    test.replace(&test.own_file(), b"static_resources: {listeners: 7}\n");
    test.last_restart("nothing was changed");
    let (code, said) = test.agent.restart();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("own.yaml") && said.contains("refuses"), "{said}");
    assert_eq!(answer().unwrap(), "one");
    test.agent.generations(&[(0, "serving")]);
    becomes("200", "ready");
}

fn a_new_program_under_the_old_name(proxy: &Path) {
    let name = proxy.file_name().unwrap();
    let test = serving_with(SHORT, |folder| {
        let copy = folder.join(name);
        copy_program(proxy, &copy);
        copy
    });
    let before = test.agent.generations(&[(0, "serving")]);
    let program = test.agent.folder.path().join(name);
    test.replace_program(&program, proxy);
    test.agent.generations(&[(1, "serving")]);
    assert!(kill(before[0], None).is_err(), "the old one has left");
    // One that is none is not taken.
    test.replace_program(&program, Path::new("/bin/false"));
    test.last_restart("nothing was changed");
    test.agent.generations(&[(1, "serving")]);
}

/// With TLS on 8002, by the files `tls.crt` and `tls.key`.
fn with_certificates(folder: &Path) -> String {
    let listener = format!(
        "
  listeners:
  - name: tls
    address: {{socket_address: {{address: 127.0.0.1, port_value: 8002}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - certificate_chain: {{filename: {folder}/tls.crt}}
              private_key: {{filename: {folder}/tls.key}}
      filters:
      - name: envoy.filters.network.tcp_proxy
        typed_config:
          '@type': type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: tls
          cluster: tcp
",
        folder = folder.display()
    );
    configuration("one").replace("\n  listeners:\n", &listener)
}

/// A new certificate and its key.
fn pair() -> (String, String) {
    let (life, now) = (Duration::from_secs(3600), SystemTime::now());
    let id = mesh_tls::SpiffeId::new("test", "default", "web").unwrap();
    let authority = mesh_tls::Authority::create("test", life, now).unwrap();
    let identity = authority.issue_serving(&id, &[], &[], life, now).unwrap();
    let credentials = identity.credentials();
    (credentials.chain_pem(), credentials.key().to_pem())
}

/// The certificate that is shown on 8002.
fn shown() -> Option<String> {
    let output = Command::new("openssl")
        .args(["s_client", "-connect", "127.0.0.1:8002", "-showcerts"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, rest) = text.split_once("-----BEGIN CERTIFICATE-----")?;
    Some(rest.split_once("-----END")?.0.trim().to_owned())
}

fn new_certificates_of_a_static_context(proxy: &Path) {
    if !possible(&["openssl"]) {
        return;
    }
    let test = serving(proxy);
    let folder = test.agent.folder.path();
    let (chain, key) = pair();
    fs::write(folder.join("tls.crt"), &chain).unwrap();
    fs::write(folder.join("tls.key"), &key).unwrap();
    test.replace(&test.own_file(), with_certificates(folder).as_bytes());
    let shows = |chain: &str| {
        let is = |shown: &String| chain.contains(shown);
        eventually("the certificate is shown", || shown().filter(is).map(drop));
    };
    shows(&chain);
    test.agent.generations(&[(1, "serving")]);
    let (chain, key) = pair();
    test.replace(&folder.join("tls.key"), key.as_bytes());
    test.replace(&folder.join("tls.crt"), chain.as_bytes());
    shows(&chain);
    test.last_restart("tls.crt");
    test.agent.generations(&[(2, "serving")]);
}

fn five_in_a_row_lose_nothing(proxy: &Path) {
    let test = serving(proxy);
    let load = Load::start();
    for epoch in 1..=5 {
        let (code, said) = test.agent.restart();
        assert_eq!(code, Some(0), "{epoch}: {said}");
        load.until_more(20);
    }
    test.agent.generations(&[(5, "serving")]);
    let (requests, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {requests}: {:?}", failures.len(), &failures[..1]);
    println!("{requests} requests, 0 failures over 5 restarts");
}

fn a_new_agent_goes_on_with_a_handover(proxy: &Path) {
    let mut test = serving_for(MIDDLE, proxy);
    let load = Load::start();
    let _connection = Connection::open();
    // While the new one warms up, or has just taken over.
    test.agent.signal(Signal::SIGHUP);
    test.agent.config_written("proxy.json", "\"epoch\": 1");
    test.agent.replace();
    let both = test.agent.generations(&[(0, "draining"), (1, "serving")]);
    // While the old one drains.
    test.agent.replace();
    assert_eq!(test.agent.generations(&[(1, "serving")]), both[1..]);
    let (code, said) = test.agent.restart();
    assert_eq!(code, Some(0), "{said}");
    let (requests, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {requests}: {:?}", failures.len(), &failures[..1]);
}

fn told_to_end_both_generations_end(proxy: &Path) {
    let mut test = serving_for(LONG, proxy);
    let connection = Connection::open();
    test.agent.signal(Signal::SIGHUP);
    test.agent.generations(&[(0, "draining"), (1, "serving")]);
    test.agent.signal(Signal::SIGTERM);
    becomes("503", "terminating");
    drop(connection);
    assert_eq!(test.agent.exit_code(), Some(0));
    assert!(common::running(test.agent.folder.path()).is_empty());
    assert_eq!(fs::read_dir(test.agent.config_dir().join("hot-restart")).unwrap().count(), 0);
}

mod with_envoy {
    use super::*;

    /// Some Envoy, where the test can run.
    fn with(test: fn(&Path)) {
        let Some(envoy) = envoy::binary() else { return };
        if possible(&["ip"]) {
            test(&envoy);
        }
    }

    #[test]
    fn by_signal_by_command_and_by_file() {
        with(super::by_signal_by_command_and_by_file);
    }

    #[test]
    fn a_bad_file_leaves_the_old_one() {
        with(super::a_bad_file_leaves_the_old_one);
    }

    #[test]
    fn a_new_program_under_the_old_name() {
        with(super::a_new_program_under_the_old_name);
    }

    #[test]
    fn new_certificates_of_a_static_context() {
        with(super::new_certificates_of_a_static_context);
    }

    #[test]
    fn five_in_a_row_lose_nothing() {
        with(super::five_in_a_row_lose_nothing);
    }

    /// It asks the kernel for that, when it can be hot-restarted.
    #[test]
    fn it_ends_with_its_agent_and_is_started_anew() {
        with(|envoy| {
            let mut test = serving(envoy);
            let before = test.agent.generations(&[(0, "serving")]);
            test.agent.replace();
            assert_ne!(test.agent.generations(&[(0, "serving")]), before);
            eventually("it answers", || (answer()? == "one").then_some(()));
        });
    }

    #[test]
    fn told_to_end_both_generations_end() {
        with(super::told_to_end_both_generations_end);
    }

    #[test]
    fn its_successor_is_started_again_when_it_crashes() {
        with(|envoy| {
            let test = serving_for(MIDDLE, envoy);
            test.agent.signal(Signal::SIGHUP);
            let both = test.agent.generations(&[(0, "draining"), (1, "serving")]);
            kill(both[1], Signal::SIGKILL).unwrap();
            eventually("another one", || {
                let all = test.agent.status()?["generations"].clone();
                let new = all.as_array()?.iter().find(|one| one["state"] == "serving")?;
                (new["epoch"] == 1 && new["pid"] != both[1].as_raw()).then_some(())
            });
            eventually("it answers", || (answer()? == "one").then_some(()));
        });
    }
}

mod with_mesh_proxy {
    use mesh_testkit::{HandoverRelay, binary::binary};

    use super::*;

    fn with(test: fn(&Path)) {
        if possible(&["ip"]) {
            test(&binary("mesh-proxy"));
        }
    }

    #[test]
    fn by_signal_by_command_and_by_file() {
        with(super::by_signal_by_command_and_by_file);
    }

    #[test]
    fn a_bad_file_leaves_the_old_one() {
        with(super::a_bad_file_leaves_the_old_one);
    }

    #[test]
    fn a_new_program_under_the_old_name() {
        with(super::a_new_program_under_the_old_name);
    }

    #[test]
    fn new_certificates_of_a_static_context() {
        with(super::new_certificates_of_a_static_context);
    }

    #[test]
    fn five_in_a_row_lose_nothing() {
        with(super::five_in_a_row_lose_nothing);
    }

    #[test]
    fn a_new_agent_goes_on_with_a_handover() {
        with(super::a_new_agent_goes_on_with_a_handover);
    }

    #[test]
    fn told_to_end_both_generations_end() {
        with(super::told_to_end_both_generations_end);
    }

    #[test]
    fn the_old_one_goes_on_when_its_successor_crashes() {
        with(|proxy| {
            let test = serving_for(LONG, proxy);
            let load = Load::start();
            let _connection = Connection::open();
            test.agent.signal(Signal::SIGHUP);
            let both = test.agent.generations(&[(0, "draining"), (1, "serving")]);
            kill(both[1], Signal::SIGKILL).unwrap();
            assert_eq!(test.agent.generations(&[(0, "serving")]), both[..1]);
            eventually("it answers", || (answer()? == "one").then_some(()));
            let (code, said) = test.agent.restart();
            assert_eq!(code, Some(0), "{said}");
            // What the killed one had in hand is lost, no more.
            let (requests, failures) = load.stop();
            assert!(failures.len() <= 2, "{} of {requests}: {failures:?}", failures.len());
        });
    }

    #[test]
    fn as_the_first_process_of_a_container() {
        if !possible(&["ip", "unshare"]) {
            return;
        }
        let _namespace = Namespace::new();
        let unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"];
        let proxy = |_: &Path| binary("mesh-proxy");
        let own = configuration("one");
        let mut agent = Agent::start_static_by(&unshare, &own, proxy, &times(SHORT));
        becomes("200", "ready");
        // The agent itself asks the proxy in its own time.
        agent.generations(&[(0, "serving")]);
        let load = Load::start();
        for epoch in 1..=2 {
            let (code, said) = agent.restart();
            assert_eq!(code, Some(0), "{epoch}: {said}");
        }
        agent.generations(&[(2, "serving")]);
        let (requests, failures) = load.stop();
        assert!(failures.is_empty(), "{} of {requests}: {:?}", failures.len(), &failures[..1]);
        agent.child.kill().unwrap();
        let gone = || common::running(agent.folder.path()).is_empty().then_some(());
        eventually("its end is the end of all", gone);
    }

    /// Whom to kill.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Victim {
        Agent,
        New,
    }

    /// Stops one handover after the other before each of its messages, and kills.
    fn at_each_state(proxy: &Path, victim: Victim) {
        let mut test = serving(proxy);
        let load = Load::start();
        let mut serving = 0;
        for passed in 0..MESSAGES {
            eprintln!("==== {victim:?} is killed before message {passed}");
            let socket = test.agent.config_dir().join(format!("hot-restart/socket.0.{serving}"));
            let relay = HandoverRelay::at(&socket);
            test.agent.signal(Signal::SIGHUP);
            for _ in 0..passed {
                relay.expect().pass();
            }
            let held = relay.expect();
            eprintln!(
                "==== {} from the {} one",
                held.name,
                if held.from_newer { "new" } else { "old" }
            );
            let written =
                test.agent.config_written("proxy.json", &format!("\"epoch\": {}", serving + 1));
            match victim {
                Victim::Agent => test.agent.replace(),
                Victim::New => kill(newest(&written), Signal::SIGKILL).unwrap(),
            }
            match victim {
                Victim::Agent => {
                    held.pass();
                    relay.open();
                }
                Victim::New => {
                    // The next one comes to the same socket.
                    fs::rename(socket.with_extension(format!("{serving}.behind")), &socket)
                        .unwrap();
                    drop((held, relay));
                }
            }
            serving = eventually("one generation serves", || {
                let status = test.agent.status()?;
                let [one] = &status["generations"].as_array()?[..] else { return None };
                let serves = one["state"] == "serving" && one["ready"] == true;
                serves.then(|| one["epoch"].as_u64().unwrap())
            });
            eventually("it answers", || (answer()? == "one").then_some(()));
            becomes("200", "ready");
        }
        let (requests, failures) = load.stop();
        eprintln!("==== {victim:?}: {requests} requests, {} failures", failures.len());
        // The agent has no connection in hand; a proxy that is killed has one of each client.
        let allowed = if victim == Victim::Agent { 0 } else { 2 * MESSAGES };
        assert!(failures.len() <= allowed, "{} of {requests}: {failures:?}", failures.len());
    }

    /// Of a handover: Hello, Welcome, Taken, Sockets, Taken, Counts, Taken, Ready, Counts,
    /// Taken.
    const MESSAGES: usize = 10;

    fn newest(written: &str) -> nix::unistd::Pid {
        let written: serde_json::Value = serde_json::from_str(written).unwrap();
        let newest = written["generations"].as_array().unwrap().last().unwrap();
        nix::unistd::Pid::from_raw(newest["pid"].as_i64().unwrap().try_into().unwrap())
    }

    #[test]
    fn the_agent_is_killed_at_each_state() {
        with(|proxy| at_each_state(proxy, Victim::Agent));
    }

    #[test]
    fn the_new_one_is_killed_at_each_state() {
        with(|proxy| at_each_state(proxy, Victim::New));
    }
}
