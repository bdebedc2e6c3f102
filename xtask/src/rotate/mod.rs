//! Certificates that are replaced every few seconds while mutual TLS carries load.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command::{self, as_root};
use crate::local_mesh::{LocalMesh, stop_signals, stopped};
use crate::{build, load_report};

/// Beyond the time of the load: its streams end, and its report is written.
const END_DEADLINE: Duration = Duration::from_secs(40);

/// How often the server is asked which certificate it has.
const LOOK_EVERY: Duration = Duration::from_millis(500);

#[derive(clap::Args)]
pub(crate) struct Args {
    /// For how long.
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(15..))]
    seconds: u64,
    /// Seconds from one certificate to the next, about: an agent renews at two thirds of a
    /// certificate's life, or up to a tenth of it earlier.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(7..))]
    every: u64,
    /// A short run.
    #[arg(long, conflicts_with_all = ["seconds", "every"])]
    check: bool,
    /// Take the programs from this folder instead of building them.
    #[arg(long)]
    bin_dir: Option<PathBuf>,
    /// What to print.
    #[arg(short, long, value_enum, default_value = "text")]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

/// What came of it.
struct Outcome {
    /// mesh-load's.
    load: Value,
    /// Serial numbers of the certificates that the server's sidecar has shown.
    server: BTreeSet<String>,
    /// How often it was asked and there was none.
    unanswered: u64,
    /// Rotations that there must be at least.
    expected: usize,
}

impl Args {
    /// `--check`.
    pub(crate) fn check() -> Self {
        Self { seconds: 0, every: 0, check: true, bin_dir: None, output: Output::Text }
    }

    fn times(&self) -> (u64, u64) {
        if self.check { (25, 7) } else { (self.seconds, self.every) }
    }
}

/// Builds, brings a mesh of two pods up, and rotates.
///
/// # Errors
/// When this is not root and there is no sudo, when a request fails, and when certificates
/// were not replaced as often as they should.
pub(crate) fn run(args: &Args) -> Result<()> {
    as_root("meshctl")?;
    let packages = ["mesh-proxy", "mesh-pilot", "mesh-agent", "meshctl", "mesh-load"];
    let folder = match &args.bin_dir {
        Some(folder) => folder.canonicalize().with_context(|| folder.display().to_string())?,
        None => build::build_packages(&packages, false)?,
    };
    run_from(&folder, args)
}

/// As [`run`], with the binaries in `folder`.
///
/// # Errors
/// As [`run`].
pub(crate) fn run_from(folder: &Path, args: &Args) -> Result<()> {
    let (seconds, every) = args.times();
    let files = Files::write(seconds)?;
    let stop = stop_signals()?;
    let life = format!("{}s", every * 3 / 2);
    let (server, images) = (files.name("mesh.yaml"), files.name("images.yaml"));
    let up = ["--file", &server, "--images", &images, "--workload-cert-ttl", &life];
    let mut mesh = LocalMesh::up(folder, up.map(Into::into))?;
    let server = server_address(&mut mesh, &stop)?;
    // Back when every proxy has the rule; then the load may begin.
    for file in ["strict.yaml", "client.yaml"] {
        mesh.ask_as_root(&["local", "apply", "--file", &files.name(file)])?;
    }
    let address = format!("{server}:8080");
    let outcome = watch(&mesh, folder, &address, (seconds, every), &stop)?;
    mesh.down()?;
    match args.output {
        Output::Text => print!("{}", outcome.text()),
        Output::Json => println!("{:#}", outcome.json()),
    }
    outcome.verdict()
}

/// What the mesh is made of.
struct Files {
    folder: TempDir,
}

impl Files {
    fn write(seconds: u64) -> Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let files = Self { folder };
        // JSON in a YAML scalar: as JSON writes a string.
        let scenario = json!(scenario(seconds).to_string()).to_string();
        let client = include_str!("client.yaml").replace("SCENARIO", &scenario);
        std::fs::write(files.path("mesh.yaml"), include_str!("mesh.yaml"))?;
        std::fs::write(files.path("client.yaml"), client)?;
        std::fs::write(files.path("strict.yaml"), include_str!("strict.yaml"))?;
        std::fs::write(files.path("images.yaml"), include_str!("images.yaml"))?;
        Ok(files)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn name(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }
}

/// Streams and connections that live through many certificates, and short ones that each have
/// the newest.
fn scenario(seconds: u64) -> Value {
    let client = |name: &str, protocol, port: u16, connections, rate: f64, messages: u32| {
        json!({"name": name, "protocol": protocol, "address": format!("server:{port}"),
               "connections": connections, "streams": 4, "rate": rate, "messages": messages})
    };
    json!({"seconds": seconds, "clients": [
        client("HTTP/1.1", "http1", 8080, 8, 300.0, 1),
        client("gRPC, one stream all along", "grpc", 8081, 1, 40.0, u32::MAX),
        client("gRPC, short streams", "grpc", 8081, 1, 100.0, 50),
        client("WebSocket, one all along", "websocket", 8080, 4, 40.0, u32::MAX),
        client("TCP, one connection all along", "tcp", 9000, 4, 40.0, u32::MAX),
        client("TCP, short", "tcp", 9000, 2, 40.0, 1),
    ]})
}

/// Looks at the server's certificate until the load has ended.
fn watch(
    mesh: &LocalMesh,
    folder: &Path,
    address: &str,
    (seconds, every): (u64, u64),
    stop: &AtomicBool,
) -> Result<Outcome> {
    let expected = usize::try_from((seconds / every).saturating_sub(2).max(2))?;
    let (mut server, mut unanswered) = (BTreeSet::new(), 0);
    let start = Instant::now();
    let deadline = Duration::from_secs(seconds) + END_DEADLINE;
    loop {
        ensure!(!stopped(stop), "stopped");
        let mut serial = Command::new(folder.join("mesh-load"));
        match command::read(serial.args(["serial", address])) {
            Ok(serial) => {
                if server.insert(serial.trim().to_owned()) {
                    let seconds = start.elapsed().as_secs();
                    eprintln!("{seconds:>4} s: certificate {} of the server", server.len());
                }
            }
            Err(_) => unanswered += 1,
        }
        if let Some(load) = report(mesh)? {
            return Ok(Outcome { load, server, unanswered, expected });
        }
        if start.elapsed() > deadline {
            bail!("the load has not reported after {deadline:?}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until the server's pod is ready, and gives its address.
fn server_address(mesh: &mut LocalMesh, stop: &AtomicBool) -> Result<Ipv4Addr> {
    let mut address = None;
    mesh.wait_until("the server", stop, |mesh| {
        let pods: Value = serde_json::from_str(&mesh.ask(&["local", "ps", "-o", "json"])?)?;
        let pods = pods["pods"].as_array().map(Vec::as_slice).unwrap_or_default();
        let server = pods.iter().find(|pod| pod["name"] == "server").context("no pod")?;
        ensure!(server["ready"] == true, "it is not ready");
        address = server["address"].as_str().and_then(|address| address.parse().ok());
        Ok(())
    })?;
    address.context("the server's pod has no address")
}

/// The load's report, once it is in the client's log.
fn report(mesh: &LocalMesh) -> Result<Option<Value>> {
    let log = mesh.ask_as_root(&["local", "logs", "client", "--container", "client"])?;
    let lines = log.lines().filter_map(|line| Some(&line[line.find('{')?..]));
    let mut parsed = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    Ok(parsed.find(|line| line["report"].is_object()).map(|mut line| line["report"].take()))
}

impl Outcome {
    fn number(&self, name: &str) -> u64 {
        self.load[name].as_u64().unwrap_or(0)
    }

    fn rotations(&self) -> usize {
        self.server.len().saturating_sub(1)
    }

    fn verdict(&self) -> Result<()> {
        let failures = self.number("failures") + self.number("unfinished");
        ensure!(failures == 0, "requests failed:\n{}", load_report::failures(&self.load));
        let (rotations, expected) = (self.rotations(), self.expected);
        ensure!(
            rotations >= expected,
            "the server has shown {rotations} new certificates, at least {expected} were expected"
        );
        Ok(())
    }

    fn text(&self) -> String {
        let seconds = self.load["seconds"].as_f64().unwrap_or(0.0);
        format!(
            "requests    {} in {seconds:.0} s, through both sidecars by mutual TLS\n\
             failures    {}\n\
             rotations   {} seen on the wire (at least {} expected)\n\
             p99         {} ms\n\
             unanswered  {} looks at the server's certificate\n",
            self.number("requests"),
            self.number("failures"),
            self.rotations(),
            self.expected,
            self.load["phases"]["start"]["p99_ms"],
            self.unanswered,
        )
    }

    fn json(&self) -> Value {
        json!({
            "rotations": self.rotations(),
            "expected": self.expected,
            "certificates": self.server,
            "unanswered": self.unanswered,
            "load": self.load,
        })
    }
}
