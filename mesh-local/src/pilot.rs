//! The control plane: started first, started again when it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::back_off::{BackOff, describe};
use crate::error::{Error, Result};
use crate::host::{Process, Program, User};
use crate::mesh::World;
use crate::plan::{GATEWAY, PILOT_PORT};
use crate::stop::{Stop, Stopped};

const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 15014);
/// For its first snapshot; it takes milliseconds.
const START: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(10);
const GRACE: Duration = Duration::from_secs(5);

/// A running pilot.
#[derive(Debug)]
pub(crate) struct Pilot {
    stop: Stop,
    task: JoinHandle<()>,
}

impl Pilot {
    /// Starts it and waits until it is ready; `ttl` is how long certificates are valid.
    pub(crate) async fn start(
        world: Arc<World>,
        program: PathBuf,
        ttl: Option<&str>,
    ) -> Result<Self> {
        let mut command = command(&world, program);
        command.extend(ttl.map(|ttl| format!("--workload-cert-ttl={ttl}")));
        let mut process = launch(&world, &command)?;
        until_ready(&world, &mut process).await?;
        world.pilot_ready.send_replace(true);
        let stop = Stop::new();
        let task = tokio::spawn(supervise(world, command, process, stop.subscribe()));
        Ok(Self { stop, task })
    }

    /// Stops it; what it was asked is answered first.
    pub(crate) async fn stop(self) {
        self.stop.stop();
        // Only a panic could be told, and that was shown where it happened.
        let _ = self.task.await;
    }
}

fn command(world: &World, program: PathBuf) -> Vec<String> {
    let flags = [
        ("--config-dir", world.state.config().display().to_string()),
        ("--secure-address", format!("{GATEWAY}:{PILOT_PORT}")),
        ("--ca-dir", world.state.ca().display().to_string()),
        ("--root-cert-file", world.state.roots().join("root-cert.pem").display().to_string()),
        ("--join-tokens", world.state.tokens().display().to_string()),
        ("--api-socket", world.state.pilot_socket().display().to_string()),
        ("--http-address", HTTP.to_string()),
    ];
    let mut command = vec![program.display().to_string()];
    command.extend(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]));
    command
}

fn launch(world: &World, command: &[String]) -> Result<Process> {
    Process::start(&Program {
        sandbox: None,
        command,
        env: &caller(),
        path: &world.bin_dir,
        user: User { user: 0, group: 0 },
        working_dir: None,
        log: world.state.pilot_log(),
    })
}

/// Who called sudo: the API's socket becomes theirs.
fn caller() -> Vec<(String, String)> {
    let names = ["SUDO_UID", "SUDO_GID"].into_iter();
    names.filter_map(|name| Some((name.to_owned(), std::env::var(name).ok()?))).collect()
}

/// Whether the control plane's ports are free, on this machine that has its bridge.
///
/// # Errors
/// Names the port that another program has.
pub(crate) async fn check_ports() -> Result<()> {
    for address in [HTTP, SocketAddr::from((GATEWAY, PILOT_PORT))] {
        if let Err(error) = tokio::net::TcpListener::bind(address).await {
            let (ip, port) = (address.ip(), address.port());
            return Err(Error::failed(format!(
                "port {port} of {ip}, which the control plane needs, cannot be used: {error}; \
                 stop the program that has it (ss -ltnp 'sport = :{port}' names it)"
            )));
        }
    }
    Ok(())
}

/// Waits until it serves; a process that does not is stopped.
async fn until_ready(world: &World, process: &mut Process) -> Result<()> {
    let socket = world.state.pilot_socket();
    let ready = tokio::time::timeout(START, async {
        tokio::select! {
            end = process.wait() => Err(format!("ended ({})", describe(&end))),
            () = answers(&socket) => Ok(()),
        }
    });
    let late = |_| Err(format!("is not ready after {} s", START.as_secs()));
    let Err(why) = ready.await.unwrap_or_else(late) else { return Ok(()) };
    process.stop(GRACE).await;
    let last = last_line(world);
    Err(Error::failed(format!("the control plane mesh-pilot {why}{last}")))
}

/// The socket is this pilot's alone, while anybody may answer at the port; it is made after
/// the port was taken.
async fn answers(socket: &Path) {
    while UnixStream::connect(socket).await.is_err() {
        tokio::time::sleep(POLL).await;
    }
    while crate::pod::http_get(HTTP, "/ready").await != Some(200) {
        tokio::time::sleep(POLL).await;
    }
}

fn last_line(world: &World) -> String {
    let line = crate::logs::last_line(&world.state.pilot_log());
    line.map(|line| format!(": {line}")).unwrap_or_default()
}

async fn supervise(
    world: Arc<World>,
    command: Vec<String>,
    mut process: Process,
    mut stop: Stopped,
) {
    let mut back_off = BackOff::new();
    loop {
        let started = Instant::now();
        let end = tokio::select! {
            end = process.wait() => end,
            () = stop.stopped() => {
                process.stop(GRACE).await;
                return;
            }
        };
        world.pilot_ready.send_replace(false);
        world.events.warning(format!(
            "the control plane ended ({}); the proxies keep what they have while it is started \
             again",
            describe(&end)
        ));
        let mut ran = started.elapsed();
        process = loop {
            tokio::select! {
                () = tokio::time::sleep(back_off.delay(ran)) => {}
                () = stop.stopped() => return,
            }
            ran = Duration::ZERO;
            let again = match launch(&world, &command) {
                Ok(mut process) => tokio::select! {
                    ready = until_ready(&world, &mut process) => ready.map(|()| process),
                    () = stop.stopped() => {
                        process.stop(GRACE).await;
                        return;
                    }
                },
                Err(error) => Err(error),
            };
            match again {
                Ok(process) => break process,
                Err(error) => world.events.warning(error.to_string()),
            }
        };
        world.pilot_ready.send_replace(true);
        world.events.note("the control plane is back");
    }
}
