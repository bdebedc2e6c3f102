//! Does what the supervisor says.

use std::ffi::OsString;
use std::future::pending;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mesh_runtime::shutdown::Signals;
use nix::sys::signal::Signal;
use tokio::sync::Notify;

use super::admin::Admin;
use super::child::Proxy;
use super::emptying::{ask_to_drain, watch_connections};
use super::orphans::{self, Supervised};
use super::servers::Servers;
use super::supervisor::{Action, Event, Policy, Supervisor};

/// The proxy and what is known of it.
pub(super) struct Agent {
    proxy_path: PathBuf,
    proxy_args: Vec<OsString>,
    supervisor: Supervisor,
    admin: Admin,
    servers: Servers,
    proxy: Option<Proxy>,
    supervised: Supervised,
    wake: Option<Instant>,
    empty: Arc<Notify>,
}

impl Agent {
    pub(super) fn new(
        policy: Policy,
        proxy_path: PathBuf,
        proxy_args: Vec<OsString>,
        admin: Admin,
        servers: Servers,
    ) -> Self {
        Self {
            proxy_path,
            proxy_args,
            supervisor: Supervisor::new(policy, Instant::now()),
            admin,
            servers,
            proxy: None,
            supervised: Rc::default(),
            wake: None,
            empty: Arc::default(),
        }
    }

    /// Starts the proxy and looks after it to its end; gives the exit code.
    pub(super) async fn run(mut self, signals: &mut Signals) -> anyhow::Result<u8> {
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
            () = self.servers.told_to_leave() => Event::Signal,
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
            Action::Unready => self.servers.terminate(),
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
        self.servers.proxy_started();
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
