//! The program against its own upstream.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_mesh-load");

struct Upstream {
    child: Child,
    http: String,
    tcp: String,
}

impl Upstream {
    fn start() -> Self {
        let mut child = Command::new(PROGRAM)
            .arg("upstream")
            .env("HOSTNAME", "someone")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let addresses: Value = serde_json::from_str(&line).unwrap();
        let address = |name: &str| addresses[name].as_str().unwrap().to_owned();
        Self { http: address("http"), tcp: address("tcp"), child }
    }

    fn clients(&self) -> Value {
        let client = |protocol: &str, address: &str, messages: u32| {
            let name = format!("{protocol} of {messages}");
            json!({"name": name, "protocol": protocol, "address": address, "connections": 2,
                   "streams": 3, "messages": messages, "rate": 200.0})
        };
        json!([
            client("http1", &self.http, 1),
            client("http2", &self.http, 1),
            client("grpc", &self.http, 5),
            client("websocket", &self.http, 5),
            client("tcp", &self.tcp, 5),
            client("tcp", &self.tcp, 1),
            client("connect", &self.tcp, 1),
        ])
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn load(folder: &Path, scenario: &Value) -> Child {
    let file = folder.join("scenario.json");
    std::fs::write(&file, scenario.to_string()).unwrap();
    Command::new(PROGRAM)
        .arg("run")
        .arg(&file)
        .arg("--control")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The lines of a load; the last one is the report.
fn lines(child: &mut Child) -> impl Iterator<Item = Value> + use<> {
    let stdout = child.stdout.take().unwrap();
    BufReader::new(stdout).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap())
}

#[test]
fn every_protocol_is_answered_and_none_fails() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let mut load = load(folder.path(), &json!({"requests": 500, "clients": upstream.clients()}));
    let last = lines(&mut load).last().unwrap();
    assert!(load.wait().unwrap().success());
    let report = &last["report"];
    assert_eq!((&report["failures"], &report["unfinished"]), (&json!(0), &json!(0)), "{report}");
    assert!(report["requests"].as_u64().unwrap() >= 500);
    for client in report["clients"].as_array().unwrap() {
        assert!(client["requests"].as_u64().unwrap() > 10, "{client}");
    }
}

#[test]
fn a_path_is_asked_for_with_headers_and_who_answered_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let client = |name: &str, path: &str| {
        json!({"name": name, "protocol": "http1", "address": upstream.http, "path": path,
               "headers": {"end-user": "jason"}, "rate": 200.0})
    };
    let clients = [client("there", "/bytes/7"), client("not there", "/nothing")];
    let mut load = load(folder.path(), &json!({"requests": 50, "clients": clients}));
    let last = lines(&mut load).last().unwrap();
    let clients = &last["report"]["clients"];
    assert_eq!(clients[0]["failures"], json!({}), "{clients}");
    assert_eq!(clients[0]["servers"]["someone"]["answers"], clients[0]["requests"]);
    assert!(clients[0]["servers"]["someone"]["last_at_ms"].as_u64().unwrap() > 0);
    assert!(clients[1]["failures"]["status 404"].as_u64().unwrap() > 0, "{clients}");
}

#[test]
fn sigterm_ends_a_load_with_its_report() {
    let folder = tempfile::tempdir().unwrap();
    let upstream = Upstream::start();
    let mut load = load(folder.path(), &json!({"clients": upstream.clients()}));
    let mut lines = lines(&mut load);
    lines.next().unwrap();
    let id = load.id().to_string();
    assert!(Command::new("kill").args(["-s", "TERM", &id]).status().unwrap().success());
    assert!(lines.last().unwrap()["report"]["requests"].as_u64().unwrap() > 0);
    assert!(load.wait().unwrap().success());
}

#[test]
fn one_answer_is_printed_whatever_its_status() {
    let upstream = Upstream::start();
    let get = |path: &str| {
        let url = format!("http://{}{path}", upstream.http);
        let output = Command::new(PROGRAM).args(["get", &url, "--header", "a: b"]).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let good = get("/bytes/7");
    assert_eq!((&good["status"], &good["headers"]["content-length"]), (&json!(200), &json!("7")));
    assert_eq!(good["headers"]["x-served-by"], "someone");
    assert_eq!(get("/nothing")["status"], 404);
    let nobody = Command::new(PROGRAM).args(["get", "http://127.0.0.1:1/"]).output().unwrap();
    assert!(!nobody.status.success());
}

#[test]
fn what_is_lost_is_counted_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut upstream = Upstream::start();
    let mut load = load(folder.path(), &json!({"clients": upstream.clients()}));
    let mut control = load.stdin.take().unwrap();
    let mut lines = lines(&mut load);
    // Until each has been answered.
    let mut answered = BTreeSet::new();
    while answered.len() < 7 {
        let line = lines.next().unwrap();
        let clients = line["clients"].as_object().unwrap().iter();
        let now = clients.filter(|(_, times)| times["count"] != 0);
        answered.extend(now.map(|(name, _)| name.clone()));
    }
    control.write_all(b"phase after\n").unwrap();
    upstream.child.kill().unwrap();
    upstream.child.wait().unwrap();
    // A second in which nobody is, and one more.
    while lines.next().unwrap()["all"]["count"] != 0 {}
    lines.next().unwrap();
    control.write_all(b"stop\n").unwrap();
    let report = &lines.last().unwrap()["report"];
    for client in report["clients"].as_array().unwrap() {
        let failures = client["failures"].as_object().unwrap();
        assert!(failures.contains_key("connection refused"), "{client}");
        if client["name"] != "connect of 1" {
            let told = client["told"].as_array().unwrap();
            assert!(told.iter().any(|one| one["at_ms"].is_u64()), "{client}");
        }
        assert!(client["phases"]["start"]["count"].as_u64().unwrap() > 0, "{client}");
    }
    let lost = report["clients"].as_array().unwrap().iter().flat_map(|client| {
        client["told"].as_array().unwrap().iter().filter(|one| one["lost_connection"] == true)
    });
    assert!(lost.count() > 0, "{report}");
}
