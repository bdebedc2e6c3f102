//! `mesh-agent restart` and `mesh-agent status`: ask a running agent on its local API.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::ValueEnum;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::exit;
use crate::http::exchange;
use crate::proxy::local_api::{self, GenerationStatus, Status};
use crate::proxy::requests::Report;

const MAX_ANSWER: usize = 1 << 20;

/// Which agent to ask.
#[derive(clap::Args, Debug)]
pub struct RestartArgs {
    /// The agent's --config-dir
    #[arg(long)]
    config_dir: PathBuf,
}

/// Which agent to ask, and how to show it.
#[derive(clap::Args, Debug)]
pub struct StatusArgs {
    /// The agent's --config-dir
    #[arg(long)]
    config_dir: PathBuf,
    /// How it is shown
    #[arg(short, long, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Has the agent replace its proxy; gives the exit code when that is over.
pub fn restart(args: &RestartArgs) -> anyhow::Result<u8> {
    let report: Report = ask(&args.config_dir, Method::POST, "/restart?reason=mesh-agent+restart")?;
    let took = report.took_ms;
    println!("{} ({took} ms; generation {} serves)", report.outcome, report.epoch);
    Ok(if report.done { exit::OK } else { exit::NOT_RESTARTED })
}

/// Shows how the agent and its proxies are; the exit code says whether one serves.
pub fn status(args: &StatusArgs) -> anyhow::Result<u8> {
    let status: Status = ask(&args.config_dir, Method::GET, "/status")?;
    let mut out = io::stdout().lock();
    match args.output {
        Output::Text => write!(out, "{}", text(&status))?,
        Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&status)?)?,
    }
    let serves = status.generations.iter().any(|one| one.state == "serving" && one.ready);
    Ok(if serves { exit::OK } else { exit::NOT_SERVING })
}

fn ask<T: DeserializeOwned>(folder: &Path, method: Method, page: &str) -> anyhow::Result<T> {
    let socket = local_api::socket(folder);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = UnixStream::connect(&socket).await.with_context(|| {
            format!(
                "no agent answers at {}: does one run there, and as this user?",
                socket.display()
            )
        })?;
        let request = Request::builder()
            .method(method)
            .uri(page)
            .header("host", "mesh-agent")
            .body(Empty::<Bytes>::new())?;
        let response = exchange(stream, request).await.context("the agent does not answer")?;
        let status = response.status();
        let body = Limited::new(response.into_body(), MAX_ANSWER);
        let body = body.collect().await.map_err(anyhow::Error::from_boxed)?.to_bytes();
        serde_json::from_slice(&body).with_context(|| format!("the agent answers {status}"))
    })
}

fn text(status: &Status) -> String {
    let mut lines = vec![format!("agent {}: {}", status.pid, status.state)];
    lines.extend(status.generations.iter().map(generation));
    lines.push(format!("next: {}", status.binary.display()));
    if let Some(why) = &status.no_hot_restart {
        lines.push(format!("no hot restart: {why}"));
    }
    if status.waiting > 0 {
        lines.push(format!("{} wait for a restart", status.waiting));
    }
    if let Some(last) = &status.last_restart {
        let reasons = last.reasons.join("; ");
        lines.push(format!("last restart: {} ({} ms; {reasons})", last.outcome, last.took_ms));
    }
    lines.join("\n") + "\n"
}

fn generation(one: &GenerationStatus) -> String {
    let age = SystemTime::now().duration_since(one.started).unwrap_or_default().as_secs();
    let ready = if one.ready { "ready" } else { "not ready yet" };
    let adopted = if one.adopted { ", adopted" } else { "" };
    format!(
        "generation {}: {}, {ready}{adopted}, pid {}, for {age} s, {} -c {}",
        one.epoch,
        one.state,
        one.pid,
        one.binary.display(),
        one.config.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_people() {
        let status = Status {
            state: "replacing".to_owned(),
            pid: 7,
            binary: "/bin/envoy".into(),
            no_hot_restart: None,
            generations: vec![GenerationStatus {
                epoch: 3,
                pid: 42,
                state: "draining".to_owned(),
                ready: true,
                adopted: true,
                binary: "/bin/envoy".into(),
                config: "/x/rev3.yaml".into(),
                started: SystemTime::now(),
            }],
            waiting: 0,
            last_restart: None,
        };
        let expected = "agent 7: replacing\n\
            generation 3: draining, ready, adopted, pid 42, for 0 s, /bin/envoy -c /x/rev3.yaml\n\
            next: /bin/envoy\n";
        assert_eq!(text(&status), expected);
    }
}
