//! The agent with a shell script in the place of a proxy. Each test in a network namespace
//! of its own, since the ports are fixed.

#![allow(clippy::unwrap_used, reason = "a failed test says where")]

mod common;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use common::{Agent, Namespace, becomes, possible, running, script};
use mesh_testkit::eventually;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The pages of a proxy of generation 0, with what it says now.
fn fake_admin(state: Arc<Mutex<&'static str>>) {
    let listener = TcpListener::bind("127.0.0.1:15000").unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut asked = [0; 1024];
            let read = stream.read(&mut asked).unwrap_or_default();
            let state = *state.lock().unwrap();
            let status = if state == "LIVE" { "200 OK" } else { "503 Service Unavailable" };
            let body = match asked[..read].starts_with(b"GET /server_info ") {
                true => format!("{{\"state\": \"{state}\"}}"),
                false => format!("{state}\n"),
            };
            let length = body.len();
            let head = format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n\r\n");
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
        }
    });
}

#[test]
fn readiness_follows_the_proxy_and_ends_with_the_first_signal() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let state = Arc::new(Mutex::new("INITIALIZING"));
    let agent = Agent::scripted(&["--minimum-drain-s", "600", "--termination-drain-s", "600"]);
    becomes("503", "does not answer");
    fake_admin(Arc::clone(&state));
    becomes("503", "INITIALIZING");
    *state.lock().unwrap() = "LIVE";
    becomes("200", "ready");
    agent.signal(Signal::SIGTERM);
    becomes("503", "terminating");
    assert!(agent.log("term").is_empty(), "the proxy works on");
}

#[test]
fn a_crashed_proxy_is_started_again_and_a_signal_drains_it() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let crash_once = |folder: &Path| {
        fs::write(folder.join("crash"), "").unwrap();
        script(folder, "0")
    };
    let mut agent = Agent::start(crash_once, &["--minimum-drain-s", "0", "--concurrency", "3"]);
    agent.started(2);
    let start = &agent.log("start")[1];
    for flag in [
        "rev0.json",
        "--concurrency 3",
        "--drain-time-s 20",
        "--service-cluster reviews.default",
        "--service-node sidecar~10.244.0.4~reviews-v1-0.default~default.svc.cluster.local",
    ] {
        assert!(start.contains(flag), "{flag} in {start}");
    }
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(agent.log("term").len(), 1);
}

#[test]
fn the_exit_code_tells_how_it_ended() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mut failing = Agent::start(|folder| script(folder, "7"), &["--minimum-drain-s", "0"]);
    failing.started(1);
    failing.signal(Signal::SIGTERM);
    assert_eq!(failing.exit_code(), Some(3), "the proxy failed while it drained");

    let mut cut = Agent::scripted(&["--minimum-drain-s", "600", "--termination-drain-s", "600"]);
    let proxy = cut.started(1);
    cut.signal(Signal::SIGTERM);
    becomes("503", "terminating");
    cut.signal(Signal::SIGTERM);
    assert_eq!(cut.exit_code(), Some(4), "a second signal");
    eventually("the proxy is gone", || kill(proxy, None).err());
}

#[test]
fn a_new_agent_adopts_the_proxy_of_one_that_was_killed() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mut agent = Agent::scripted(&["--minimum-drain-s", "0"]);
    let proxy = agent.started(1);
    agent.config_written("proxy.json", &proxy.to_string());
    agent.replace();
    let status = eventually("the new agent answers", || agent.status());
    let [generation] = &status["generations"].as_array().unwrap()[..] else { panic!("{status}") };
    assert_eq!(generation["pid"], proxy.as_raw());
    assert_eq!(generation["adopted"], true);

    kill(proxy, Signal::SIGKILL).unwrap();
    agent.started(2);
    agent.replace();
    eventually("it is adopted too", || {
        (agent.status()?["generations"][0]["adopted"] == true).then_some(())
    });
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));
    assert_eq!(agent.log("term").len(), 1);
    assert_eq!(agent.log("start").len(), 2);
    assert!(running(agent.folder.path()).is_empty());
    assert!(agent.config("proxy.json").is_none(), "nothing is left to be found");
}

#[test]
fn a_proxy_that_was_not_written_down_is_found_too() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mut agent = Agent::scripted(&[]);
    let proxy = agent.started(1);
    agent.config_written("proxy.json", &proxy.to_string());
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    fs::remove_file(agent.config_dir().join("proxy.json")).unwrap();
    agent.child = agent.another();
    let status = eventually("the new agent answers", || agent.status());
    assert_eq!(status["generations"][0]["adopted"], true, "{status}");
    assert_eq!(status["generations"].as_array().unwrap().len(), 1, "{status}");
}

#[test]
fn what_is_written_of_a_process_that_is_gone_or_another_is_ignored() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let mut agent = Agent::scripted(&["--minimum-drain-s", "0"]);
    let proxy = agent.started(1);
    let written = agent.config_written("proxy.json", &proxy.to_string());
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    kill(proxy, Signal::SIGKILL).unwrap();
    eventually("the proxy is gone", || running(agent.folder.path()).is_empty().then_some(()));
    // A process that lives, but began at another time.
    let own = written.replace(&proxy.to_string(), &std::process::id().to_string());
    fs::write(agent.config_dir().join("proxy.json"), own).unwrap();
    agent.child = agent.another();
    agent.started(2);
    let status = eventually("it answers", || agent.status());
    assert_eq!(status["generations"].as_array().unwrap().len(), 1);
    assert_eq!(status["generations"][0]["adopted"], false);
}

#[test]
fn one_that_cannot_hand_over_leaves_first() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    fake_admin(Arc::new(Mutex::new("LIVE")));
    let cannot = |folder: &Path| {
        fs::write(folder.join("cannot"), "").unwrap();
        script(folder, "0")
    };
    let agent = Agent::start(cannot, &["--minimum-drain-s", "0"]);
    agent.started(1);
    agent.generations(&[(0, "serving")]);
    let (code, said) = agent.restart();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("ended and started anew"), "{said}");
    assert_eq!(agent.log("term").len(), 1);
    agent.started(3);
    let starts = agent.log("start");
    assert_eq!(starts.len(), 3, "{starts:?}");
    for (start, epoch) in starts.iter().zip([0, 1, 0]) {
        assert!(start.contains(&format!("--restart-epoch {epoch} ")), "{start}");
    }
    becomes("200", "ready");
}

#[test]
fn one_that_does_not_get_ready_in_time_is_given_up() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    fake_admin(Arc::new(Mutex::new("LIVE")));
    let agent = Agent::scripted(&["--restart-timeout-s", "1"]);
    let first = agent.started(1);
    agent.generations(&[(0, "serving")]);
    let (code, said) = agent.restart();
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("not ready in time"), "{said}");
    // It may not have had the time to say that it started.
    eventually("the new one is gone", || {
        let mut left = running(agent.folder.path());
        left.retain(|process| process.as_raw().cast_unsigned() != agent.child.id());
        (left == [first]).then_some(())
    });
    assert_eq!(agent.generations(&[(0, "serving")]), [first]);
    becomes("200", "ready");
}

#[test]
fn a_second_agent_with_the_same_folder_is_refused() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let agent = Agent::scripted(&[]);
    agent.started(1);
    let mut second = agent.another();
    let status = eventually("the second ends", || second.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
    assert_eq!(agent.log("start").len(), 1);
}

#[test]
fn as_the_first_process_it_takes_everything_with_it() {
    if !possible(&["ip", "unshare"]) {
        return;
    }
    let _namespace = Namespace::new();
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let agent = Agent::start_by(&unshare, |folder| script(folder, "0"), &[]);
    agent.started(1);
    let first = eventually("the agent runs", || children(agent.child.id()).pop());
    kill(Pid::from_raw(first.try_into().unwrap()), Signal::SIGKILL).unwrap();
    eventually("all are gone", || running(agent.folder.path()).is_empty().then_some(()));
}

#[test]
fn as_the_first_process_it_reaps_orphans() {
    if !possible(&["ip", "unshare"]) {
        return;
    }
    let _namespace = Namespace::new();
    let leave_orphan = |folder: &Path| {
        fs::write(folder.join("orphan"), "").unwrap();
        script(folder, "0")
    };
    let unshare = ["unshare", "--pid", "--fork", "--kill-child"];
    let agent = Agent::start_by(&unshare, leave_orphan, &[]);
    eventually("the orphan writes", || agent.log("orphan").pop());
    let first = eventually("the agent runs", || children(agent.child.id()).pop());
    eventually("the proxy is the only child", || (children(first).len() == 1).then_some(()));
}

#[test]
fn a_file_of_the_users_is_taken_as_it_is_when_the_proxy_takes_it() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let admin = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}";
    let good = format!("# mine\n{admin}\n");
    let mut agent =
        Agent::start_static(&good, |folder| script(folder, "0"), &["--minimum-drain-s", "0"]);
    agent.started(1);
    assert_eq!(agent.config("rev0.yaml").as_deref(), Some(good.as_str()));
    let start = &agent.log("start")[0];
    assert!(start.contains("rev0.yaml") && !start.contains("--service-node"), "{start}");
    agent.signal(Signal::SIGTERM);
    assert_eq!(agent.exit_code(), Some(0));

    for refused in ["node: {id: a}".to_owned(), format!("{admin} # bad")] {
        let mut agent = Agent::start_static(&refused, |folder| script(folder, "0"), &[]);
        assert_eq!(agent.exit_code(), Some(1), "{refused}");
        assert!(agent.log("start").is_empty(), "{refused}");
    }
}

#[test]
fn a_file_that_went_bad_meanwhile_does_not_keep_an_agent_from_its_proxy() {
    if !possible(&["ip"]) {
        return;
    }
    let _namespace = Namespace::new();
    let good = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 15000}}}";
    let mut agent = Agent::start_static(good, |folder| script(folder, "0"), &[]);
    let proxy = agent.started(1);
    agent.config_written("proxy.json", &proxy.to_string());
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    fs::write(agent.folder.path().join("own.yaml"), "bad: {").unwrap();
    agent.child = agent.another();
    let status = eventually("the new agent has tried", || {
        agent.status().filter(|status| !status["last_restart"].is_null())
    });
    assert_eq!(status["generations"][0]["pid"], proxy.as_raw(), "{status}");
    assert_eq!(status["last_restart"]["done"], false, "{status}");
    assert_eq!(agent.log("start").len(), 1);
}

/// The children of a process, zombies among them.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().map(|child| child.parse().unwrap()).collect()
}

#[test]
fn what_is_missing_is_named() {
    let agent = |proxy: &str, env: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_mesh-agent"))
            .args(["proxy", "sidecar", "--discovery-address", "pilot:15010"])
            .args(["--proxy-binary", proxy, "--config-dir"])
            .arg(folder.path())
            .envs(env.iter().copied())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    assert!(agent("sh", &[]).contains("--pod-name"));
    let pod = [("POD_NAME", "a"), ("POD_NAMESPACE", "b"), ("INSTANCE_IP", "10.0.0.1")];
    assert!(agent("/no/proxy", &pod).contains("looked for /no/proxy"));
    let no_address = [("POD_NAME", "a"), ("POD_NAMESPACE", "b"), ("INSTANCE_IP", "")];
    assert!(agent("sh", &no_address).contains("INSTANCE_IP"));
}
