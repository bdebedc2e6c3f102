//! The agent replaces a proxy while traffic flows.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test says where")]

mod common;
mod load;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use common::{Agent, Namespace, becomes, possible};
use load::Load;
use mesh_testkit::{envoy, eventually};
use nix::sys::signal::{Signal, kill};

/// Answers by itself on 8000; `name` tells one from another.
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
"
    )
}

const TIMES: [&str; 8] = [
    "--minimum-drain-s",
    "0",
    "--drain-time-s",
    "1",
    "--parent-shutdown-time-s",
    "3",
    "--concurrency",
    "1",
];

struct Fixture {
    agent: Agent,
    _namespace: Namespace,
}

/// An agent with this proxy, which serves.
fn serving(proxy: &Path) -> Fixture {
    serving_with(|_| proxy.to_owned())
}

fn serving_with(prepare: impl FnOnce(&Path) -> PathBuf) -> Fixture {
    let namespace = Namespace::new();
    let agent = Agent::start_static(&configuration("one"), prepare, &TIMES);
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

impl Fixture {
    fn own_file(&self) -> PathBuf {
        self.agent.folder.path().join("own.yaml")
    }

    /// As an editor or a package manager does.
    fn replace(&self, path: &Path, content: &[u8]) {
        let new = self.agent.folder.path().join("new");
        fs::write(&new, content).unwrap();
        fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
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
    let test = serving(proxy);
    test.agent.signal(Signal::SIGHUP);
    test.agent.generations(&[(0, "draining"), (1, "serving")]);
    test.last_restart("SIGHUP");
    // The third one waits for the first to leave.
    let (code, said) = test.agent.restart();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("generation 2 has taken over"), "{said}");
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
    let test = serving_with(|folder| {
        let copy = folder.join(name);
        fs::copy(proxy, &copy).unwrap();
        copy
    });
    let before = test.agent.generations(&[(0, "serving")]);
    let program = test.agent.folder.path().join(name);
    test.replace(&program, &fs::read(proxy).unwrap());
    test.agent.generations(&[(1, "serving")]);
    assert!(kill(before[0], None).is_err(), "the old one has left");
    // One that is none is not taken.
    test.replace(&program, b"#!/bin/sh\nexit 9\n");
    test.last_restart("nothing was changed");
    test.agent.generations(&[(1, "serving")]);
}

fn five_in_a_row_lose_nothing(proxy: &Path) {
    let test = serving(proxy);
    let load = Load::start();
    for epoch in 1..=5 {
        let (code, said) = test.agent.restart();
        assert_eq!(code, Some(0), "{epoch}: {said}");
    }
    test.agent.generations(&[(5, "serving")]);
    let (requests, failures) = load.stop();
    assert!(failures.is_empty(), "{} of {requests}: {:?}", failures.len(), &failures[..1]);
    assert!(requests > 1000, "{requests}");
    println!("{requests} requests, 0 failures over 5 restarts");
}

fn told_to_end_both_generations_end(proxy: &Path) {
    let mut test = serving(proxy);
    test.agent.signal(Signal::SIGHUP);
    test.agent.generations(&[(0, "draining"), (1, "serving")]);
    test.agent.signal(Signal::SIGTERM);
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
            let test = serving(envoy);
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
