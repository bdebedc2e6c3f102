//! Does what the supervisor says.

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_runtime::drain;
use mesh_runtime::shutdown::Signals;
use nix::sys::signal::Signal;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::admin::Admin;
use super::bootstrap::{self, Discovery};
use super::child::Proxy;
use super::orphans::{self, Supervised};
use super::readiness::Readiness;
use super::supervisor::{Action, Event, Policy, Supervisor};
use super::{Args, binary::Binary, node::Node};

/// How often a draining Envoy is asked for its connections.
const COUNT_EVERY: Duration = Duration::from_millis(200);

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    let mut signals = Signals::new()?;
    let node = Node::new(&args)?;
    let discovery: Discovery = args.discovery_address.parse()?;
    let binary = Binary::find(&args.proxy_binary)?;
    let document = bootstrap::build(binary.kind, &node, &discovery, args.admin_port);
    let config = bootstrap::write(&args.config_dir, &document)?;

    let admin = Admin::new(args.admin_port);
    let readiness = Readiness::new(admin);
    // Held to the end: the pages are served as long as the agent lives.
    let (_trigger, watcher) = drain::channel();
    readiness.serve(&args, &watcher).await?;

    tracing::info!(identity = %node.identity, proxy = %binary.path.display(), "starting the proxy");
    let policy = Policy {
        drain: binary.drain(),
        minimum: Duration::from_secs(args.minimum_drain_s),
        deadline: Duration::from_secs(args.termination_drain_s),
    };
    let agent = Agent {
        proxy_args: binary.args(&args, &node, &config),
        proxy_path: binary.path,
        supervisor: Supervisor::new(policy, Instant::now()),
        admin,
        readiness,
        proxy: None,
        supervised: Rc::default(),
        wake: None,
        empty: Arc::default(),
    };
    LocalSet::new().run_until(agent.run(&mut signals)).await
}

struct Agent {
    proxy_path: PathBuf,
    proxy_args: Vec<OsString>,
    supervisor: Supervisor,
    admin: Admin,
    readiness: Readiness,
    proxy: Option<Proxy>,
    supervised: Supervised,
    wake: Option<Instant>,
    empty: Arc<Notify>,
}

impl Agent {
    async fn run(mut self, signals: &mut Signals) -> anyhow::Result<u8> {
        tokio::task::spawn_local(orphans::reap(Rc::clone(&self.supervised)));
        // That it cannot be started at all is an error; later it is a crash like another.
        self.start()?;
        loop {
            let event = self.event(signals).await;
            for action in self.supervisor.step(event, Instant::now()) {
                if let Some(code) = self.perform(action) {
                    return Ok(code);
                }
            }
        }
    }

    /// The next thing that happens.
    async fn event(&mut self, signals: &mut Signals) -> Event {
        let wake = self.wake;
        tokio::select! {
            success = ended(&mut self.proxy) => {
                self.proxy = None;
                self.supervised.set(None);
                Event::Exited { success }
            }
            () = sleep_until(wake) => {
                self.wake = None;
                Event::Timer
            }
            name = signals.next() => {
                tracing::info!("{name}");
                Event::Signal
            }
            () = self.empty.notified() => Event::Empty,
        }
    }

    /// Does it; gives the exit code when it is time to leave.
    fn perform(&mut self, action: Action) -> Option<u8> {
        match action {
            Action::Start => {
                if let Err(error) = self.start() {
                    tracing::error!("{error:#}");
                    // As if it had started and ended at once.
                    let now = Instant::now();
                    let again = self.supervisor.step(Event::Exited { success: false }, now);
                    return again.into_iter().find_map(|action| self.perform(action));
                }
            }
            Action::WakeAt(at) => self.wake = Some(at),
            Action::Unready => self.readiness.terminate(),
            Action::AskToDrain => ask_to_drain(self.admin),
            Action::WatchConnections => watch_connections(self.admin, Arc::clone(&self.empty)),
            Action::Terminate => self.signal(Signal::SIGTERM),
            Action::Kill => self.signal(Signal::SIGKILL),
            Action::Leave(code) => return Some(code),
        }
        None
    }

    fn start(&mut self) -> anyhow::Result<()> {
        let proxy = Proxy::start(&self.proxy_path, &self.proxy_args)?;
        tracing::info!(pid = proxy.pid().as_raw(), "the proxy runs");
        self.supervised.set(Some(proxy.pid()));
        self.proxy = Some(proxy);
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(proxy) = &self.proxy {
            tracing::info!(%signal, "to the proxy");
            proxy.signal(signal);
        }
    }
}

/// Waits for the proxy's end, for ever when there is none; whether it was a good one.
async fn ended(proxy: &mut Option<Proxy>) -> bool {
    let Some(proxy) = proxy else { return pending().await };
    match proxy.ended().await {
        Ok(status) => {
            tracing::info!("the proxy ended: {status}");
            status.success()
        }
        Err(error) => {
            tracing::error!(%error, "the proxy cannot be waited for");
            false
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

fn ask_to_drain(admin: Admin) {
    tokio::spawn(async move {
        if let Err(error) = admin.drain_listeners().await {
            tracing::warn!("the proxy cannot be asked to drain: {error:#}");
        }
    });
}

fn watch_connections(admin: Admin, empty: Arc<Notify>) {
    tokio::spawn(async move {
        loop {
            match admin.connections().await {
                Ok(0) => break empty.notify_one(),
                Ok(count) => tracing::debug!(count, "connections left"),
                Err(error) => tracing::warn!("the proxy's connections are unknown: {error:#}"),
            }
            tokio::time::sleep(COUNT_EVERY).await;
        }
    });
}
