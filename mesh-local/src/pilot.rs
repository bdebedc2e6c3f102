//! The control plane: started first, started again when it ends.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinHandle;

use crate::back_off::{BackOff, describe};
use crate::error::{Error, Result};
use crate::host::{Process, Program, User};
use crate::mesh::World;
use crate::plan::{GATEWAY, XDS_PORT};
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
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(world: Arc<World>, program: PathBuf) -> Result<Self> {
        let command = command(&world, program);
        let mut process = launch(&world, &command)?;
        if let Err(why) = tokio::time::timeout(START, wait_ready(&mut process))
            .await
            .unwrap_or_else(|_| Err(format!("is not ready after {} s", START.as_secs())))
        {
            process.stop(GRACE).await;
            let last = last_line(&world);
            return Err(Error::failed(format!("the control plane mesh-pilot {why}{last}")));
        }
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
        ("--xds-address", format!("{GATEWAY}:{XDS_PORT}")),
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

async fn wait_ready(process: &mut Process) -> std::result::Result<(), String> {
    tokio::select! {
        end = process.wait() => Err(format!("ended ({})", describe(&end))),
        () = answers() => Ok(()),
    }
}

async fn answers() {
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
            match relaunch(&world, &command).await {
                Ok(process) => break process,
                Err(error) => world.events.warning(error.to_string()),
            }
        };
        world.pilot_ready.send_replace(true);
        world.events.note("the control plane is back");
    }
}

async fn relaunch(world: &World, command: &[String]) -> Result<Process> {
    let mut process = launch(world, command)?;
    wait_ready(&mut process)
        .await
        .map_err(|why| Error::failed(format!("the control plane {why}{}", last_line(world))))?;
    Ok(process)
}
