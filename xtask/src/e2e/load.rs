//! Load from within the cluster: mesh-load in a pod, which counts what it loses.

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::ctx::{Ctx, DEADLINE};
use crate::load_report;

/// Between two looks at what a load says once a second.
const EACH: Duration = Duration::from_millis(500);

/// For a machine that is busy to write one of these lines.
const LINE: Duration = Duration::from_secs(60);

/// A pod that makes load until it is told to stop.
pub(super) struct Load<'a> {
    ctx: &'a Ctx<'a>,
    pod: String,
}

/// What it has counted.
pub(super) struct Report(Value);

/// Clients that ask for a path of a service, over and over.
pub(super) fn http1(address: &str, path: &str, connections: u32) -> Value {
    json!({"name": format!("GET {path}"), "protocol": "http1", "address": address,
           "path": path, "connections": connections})
}

/// The same, but so many requests a second at most: enough to see what is lost, with the machine's
/// cores for the other things that happen.
pub(super) fn paced(address: &str, path: &str, connections: u32, rate: u32) -> Value {
    let mut clients = http1(address, path, connections);
    clients["rate"] = rate.into();
    clients
}

/// Now, as mesh-load's report has times, in milliseconds.
pub(super) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl<'a> Load<'a> {
    /// Starts these clients in a pod of that name and waits until they have answers.
    ///
    /// # Errors
    /// When there are none in time.
    pub(super) fn start(ctx: &'a Ctx<'a>, pod: &str, clients: &[Value]) -> Result<Self> {
        let scenario = json!({ "clients": clients }).to_string();
        let manifest = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": pod, "labels": {"app": pod}},
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 5,
                "containers": [{
                    "name": "load", "image": ctx.mesh().image("load"),
                    "imagePullPolicy": "IfNotPresent", "args": ["run", "--text", scenario],
                }],
            },
        });
        ctx.apply(&format!("{pod}.json"), &manifest.to_string())?;
        ctx.wait_for("Ready", &format!("pod/{pod}"))?;
        let load = Self { ctx, pod: pod.to_owned() };
        ctx.until_each(EACH, "the first answers", DEADLINE, || {
            ensure!(load.requests()? > 0, "none yet: {}", load.last_line()?);
            Ok(())
        })?;
        Ok(load)
    }

    /// Of what it has said lately, for kubectl to send less.
    fn last_line(&self) -> Result<Value> {
        // Lines cannot be counted: a long one is several in the file that kubectl counts in.
        self.last_line_of(&["--since=5s"])
    }

    fn last_line_of(&self, which: &[&str]) -> Result<Value> {
        let logs = ["logs", &self.pod, "--container=load"];
        let log = self.ctx.kubectl(&[&logs, which].concat())?;
        let line = log.lines().last().unwrap_or_default();
        let start: String = line.chars().take(200).collect();
        serde_json::from_str(line).with_context(|| format!("{} says {start:?}", self.pod))
    }

    /// How many requests have been answered so far.
    ///
    /// # Errors
    /// When the pod says nothing.
    pub(super) fn requests(&self) -> Result<u64> {
        self.ctx.until_each(EACH, "what the load has counted", LINE, || {
            self.last_line()?["requests"].as_u64().context("mesh-load counts no requests")
        })
    }

    /// Waits until so many have been answered.
    ///
    /// # Errors
    /// When `at_most` has passed.
    pub(super) fn reach(&self, count: u64, at_most: Duration) -> Result<()> {
        self.ctx.until_each(EACH, &format!("{count} requests"), at_most, || {
            let line = self.last_line()?;
            let (requests, failures) = (&line["requests"], &line["failures"]);
            ensure!(requests.as_u64() >= Some(count), "{requests}, and {failures} have failed");
            Ok(())
        })
    }

    /// Ends it and gives the report.
    ///
    /// # Errors
    /// When there is none in time.
    pub(super) fn stop(self) -> Result<Report> {
        // It may end before kubectl has heard how the command went.
        let told = self.ctx.exec(&self.pod, "load", &["sh", "-c", "kill 1"]);
        let report = self.ctx.until("the load's report", || {
            let mut line = self.last_line_of(&[])?;
            ensure!(line["report"].is_object(), "its last line is of second {}", line["second"]);
            Ok(line["report"].take())
        });
        let report = match told {
            Ok(_) => report?,
            Err(why) => report.context(format!("it was told to end: {why:#}"))?,
        };
        let file = self.ctx.folder.join(format!("{}.report.json", self.pod));
        std::fs::write(file, format!("{report:#}"))?;
        Ok(Report(report))
    }
}

impl Report {
    /// Requests that were answered well.
    pub(super) fn requests(&self) -> u64 {
        self.0["requests"].as_u64().unwrap_or(0)
    }

    /// Those that were not, and those that never ended.
    pub(super) fn failures(&self) -> u64 {
        ["failures", "unfinished"].iter().filter_map(|name| self.0[*name].as_u64()).sum()
    }

    /// Each failure that is told, as mesh-load's report has them.
    pub(super) fn told(&self) -> Vec<&Value> {
        let clients = self.0["clients"].as_array().into_iter().flatten();
        clients.flat_map(|client| client["told"].as_array().into_iter().flatten()).collect()
    }

    /// When this server last answered, in milliseconds of Unix time; `None` when it never did.
    pub(super) fn last_answer_of(&self, server: &str) -> Option<u64> {
        let clients = self.0["clients"].as_array().into_iter().flatten();
        clients.filter_map(|client| client["servers"][server]["last_at_ms"].as_u64()).max()
    }

    /// # Errors
    /// When a request has failed; with the first ones.
    pub(super) fn none_failed(&self) -> Result<()> {
        let (failures, requests) = (self.failures(), self.requests());
        let which = load_report::failures(&self.0);
        ensure!(failures == 0, "{failures} requests failed beside {requests} good ones: {which}");
        Ok(())
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seconds, p99) = (&self.0["seconds"], &self.0["phases"]["start"]["p99_ms"]);
        let seconds = seconds.as_f64().unwrap_or(0.0);
        let (requests, failures) = (self.requests(), self.failures());
        write!(f, "{requests} requests in {seconds:.0} s, {failures} failed, p99 {p99} ms")
    }
}
