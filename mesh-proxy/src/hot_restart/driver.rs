//! The loop around the machine: what happens goes in, what is to be done is done.

mod newer;
mod older;

use std::collections::VecDeque;
use std::future::pending;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_runtime::shutdown::Signals;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until};
use tracing::{error, info, warn};

use super::Options;
use super::asking::{self, Asking};
use super::channel::ChannelError;
use super::frame::Received;
use super::link::Link;
use super::machine::{Action, Event, Failure, Machine, Newer, Older, Own};
use super::place::Claim;
use super::sockets::{self, Gifts};
use crate::admin::{self, Asked, Status};
use crate::config::Address;
use crate::listener::Inherited;
use crate::server::DataPlane;
use crate::stats::{Export, Registry};

/// What two processes call themselves in each other's logs.
const BUILD: &str = concat!("mesh-proxy/", env!("CARGO_PKG_VERSION"));

/// How often a process that drains tells what it counted.
const TELL: Duration = Duration::from_millis(500);

/// What takes part on behalf of this process once it has started.
pub(crate) struct Proxy {
    pub(crate) data_plane: DataPlane,
    /// Started when [`Start::is_alone`].
    pub(crate) pages: Option<admin::Server>,
    pub(crate) status: Arc<Status>,
    /// Whether its configuration may take the older process's place.
    pub(crate) warm: watch::Receiver<bool>,
}

/// How this process starts.
pub(crate) struct Start {
    /// It is the only one, and is to accept and to answer pages at once. Otherwise
    /// [`Driver::run`] does that when the time has come.
    pub(crate) is_alone: bool,
    /// Sockets of the older process.
    pub(crate) inherited: Inherited,
    /// Of its admin pages.
    pub(crate) admin: Option<TcpListener>,
    /// How many processes there were, this one included.
    pub(crate) generation: u64,
    /// How long those before this one ran, together.
    pub(crate) earlier_uptime: Duration,
}

/// Takes over from an older process, hands over to a newer one, and ends.
pub(crate) struct Driver {
    machine: Machine,
    options: Options,
    registry: Registry,
    claim: Option<Claim>,
    is_signalled: bool,
    older: Option<Link>,
    older_deadline: Option<Instant>,
    /// The addresses that this process listens on.
    claimed: Vec<Address>,
    /// What came with the message that the machine is about to see.
    received: Option<Received>,
    gifts: Gifts,
    generation: u64,
    earlier_uptime: Duration,
    started: Instant,
    /// Who asks, while the machine says what to answer.
    asking: Option<Asking>,
    asked: asking::Asked,
    newer: Option<Link>,
    newer_deadline: Option<Instant>,
    outbox: VecDeque<sockets::Ready>,
    export: Export,
    tick: Interval,
    cut_at: Option<Instant>,
    proxy: Option<Proxy>,
    drain: Option<JoinHandle<()>>,
}

/// What follows from an action for the loop.
enum Flow {
    On,
    Then(Event),
    Stop(Stop),
}

/// Why the loop ends.
enum Stop {
    Start {
        is_alone: bool,
    },
    /// After a drain.
    End,
    /// All is done.
    Exit,
    AtOnce,
    Fail(Failure),
}

/// What happened to the driver.
enum Happened {
    To(Event),
    /// Out of turn: a second signal.
    Again(&'static str),
    /// What the machine need not know.
    Nothing,
}

impl Driver {
    /// Takes this process's place and, when there is a running process, everything that it
    /// gives. `None` when a signal asked for the end meanwhile.
    pub(crate) async fn begin(
        options: Options,
        registry: &Registry,
        signals: &mut Signals,
    ) -> anyhow::Result<Option<(Self, Start)>> {
        let (claim, older) = match &options.place {
            Some(place) => {
                let (claim, older) = place.claim(options.epoch)?;
                (Some(claim), older)
            }
            None => (None, None),
        };
        let asked = asking::Asked::by(claim.as_ref())?;
        let machine = Machine::new(options.epoch, options.drain_time, options.parent_shutdown);
        let mut driver = Self {
            machine,
            registry: registry.clone(),
            claim,
            is_signalled: false,
            older: None,
            older_deadline: None,
            claimed: Vec::new(),
            received: None,
            gifts: Gifts::default(),
            generation: 0,
            earlier_uptime: Duration::ZERO,
            started: Instant::now(),
            asking: None,
            asked,
            newer: None,
            newer_deadline: None,
            outbox: VecDeque::new(),
            export: Export::default(),
            tick: interval(TELL),
            cut_at: None,
            proxy: None,
            drain: None,
            options,
        };
        driver.tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let first = driver.found(older);
        match driver.drive(Some(first), signals).await {
            Stop::Start { is_alone } => {
                let gifts = std::mem::take(&mut driver.gifts);
                let start = Start {
                    is_alone,
                    inherited: gifts.listeners,
                    admin: gifts.admin,
                    generation: driver.generation,
                    earlier_uptime: driver.earlier_uptime,
                };
                Ok(Some((driver, start)))
            }
            Stop::Fail(failure) => Err(failure.into()),
            Stop::End | Stop::Exit | Stop::AtOnce => Ok(None),
        }
    }

    /// Sees the process through, from its start to its end. An error is that it could not
    /// take over.
    pub(crate) async fn run(mut self, proxy: Proxy, signals: &mut Signals) -> Result<(), Failure> {
        let data_plane = proxy.data_plane.clone();
        self.proxy = Some(proxy);
        match self.drive(None, signals).await {
            Stop::End => self.end(signals).await,
            Stop::Fail(failure) => {
                // Whoever connected while this process accepted, if it did.
                data_plane.drain(self.options.drain_time).await;
                return Err(failure);
            }
            Stop::Exit | Stop::Start { .. } => {
                data_plane.drain(Duration::ZERO).await;
                info!("hot restart: all is handed over");
            }
            Stop::AtOnce => {}
        }
        Ok(())
    }

    async fn drive(&mut self, first: Option<Event>, signals: &mut Signals) -> Stop {
        let mut next = first;
        loop {
            let event = match next.take() {
                Some(event) => event,
                None => match self.happens(signals).await {
                    Happened::To(event) => event,
                    Happened::Again(signal) => {
                        warn!("{signal} again: ending at once");
                        return Stop::AtOnce;
                    }
                    Happened::Nothing => continue,
                },
            };
            for action in self.machine.step(event) {
                match self.perform(action).await {
                    Flow::On => {}
                    // There is one such action in a step at most.
                    Flow::Then(event) => next = Some(event),
                    Flow::Stop(stop) => return stop,
                }
            }
        }
    }

    /// Waits for what the machine is to know next.
    async fn happens(&mut self, signals: &mut Signals) -> Happened {
        let watch = Watch::of(&self.machine, self.proxy.as_ref());
        let Self { older, newer, asked, proxy, tick, .. } = self;
        let event = tokio::select! {
            signal = signals.next() => return self.signalled(signal),
            page = page(proxy.as_ref()) => return self.page(page),
            asking = asked.next() => {
                let hello = asking.hello.clone();
                self.asking = Some(asking);
                Event::Asked(hello)
            }
            received = receive(older) => self.older_received(received).await,
            received = receive(newer) => self.newer_received(received).await,
            () = until(self.older_deadline) => {
                self.older_deadline = None;
                Event::OlderSilent
            }
            () = until(self.newer_deadline) => {
                self.newer_deadline = None;
                Event::NewerSilent
            }
            () = until(self.cut_at) => {
                self.cut_at = None;
                Event::Deadline
            }
            () = warm(proxy.as_ref()), if watch.warm => Event::Warm,
            () = empty(proxy.as_ref()), if watch.census => Event::Empty,
            _ = tick.tick(), if watch.tick => Event::Tick,
        };
        Happened::To(event)
    }

    fn signalled(&mut self, signal: &'static str) -> Happened {
        if std::mem::replace(&mut self.is_signalled, true) {
            return Happened::Again(signal);
        }
        info!("{signal}");
        Happened::To(Event::Terminate)
    }

    fn page(&mut self, asked: Asked) -> Happened {
        let (time, inbound_only) = match asked {
            Asked::Quit => {
                info!("/quitquitquit");
                return Happened::To(Event::Terminate);
            }
            Asked::Drain { graceful, inbound_only } => {
                info!(graceful, inbound_only, "/drain_listeners");
                let time = if graceful { self.options.drain_time } else { Duration::ZERO };
                (time, inbound_only)
            }
        };
        if inbound_only {
            if let Some(proxy) = &self.proxy {
                proxy.data_plane.drain_inbound(time);
            }
            return Happened::Nothing;
        }
        self.begin_drain(time);
        Happened::To(Event::Closed)
    }

    async fn perform(&mut self, action: Action) -> Flow {
        match action {
            Action::ServePages => self.serve_pages(),
            Action::Start => return Flow::Stop(Stop::Start { is_alone: false }),
            Action::StartAlone => return Flow::Stop(Stop::Start { is_alone: true }),
            Action::Fail(failure) => return Flow::Stop(Stop::Fail(failure)),
            Action::End => return Flow::Stop(Stop::End),
            Action::Exit => return Flow::Stop(Stop::Exit),
            other => return self.perform_for_older(other).await,
        }
        Flow::On
    }

    fn serve_pages(&mut self) {
        let pages = self.proxy.as_mut().and_then(|proxy| proxy.pages.as_mut());
        if let Some(Err(error)) = pages.map(admin::Server::start) {
            error!("{error}");
        }
    }

    /// There is one drain of everything, whoever asks first.
    fn begin_drain(&mut self, time: Duration) {
        let Some(proxy) = &self.proxy else { return };
        let data_plane = proxy.data_plane.clone();
        proxy.status.set_draining(true);
        self.drain.get_or_insert_with(|| tokio::spawn(async move { data_plane.drain(time).await }));
    }

    /// Waits until everything has drained, and whoever asked for it has heard so.
    async fn end(mut self, signals: &mut Signals) {
        let drain_time = self.options.drain_time;
        info!("draining for at most {drain_time:?}");
        // Who comes now finds nobody to take over from.
        self.claim = None;
        self.asked.close();
        self.begin_drain(drain_time);
        let Some(drain) = self.drain.take() else { return };
        let pages = self.proxy.as_mut().and_then(|proxy| proxy.pages.as_mut());
        let end = async {
            let _ = drain.await;
            info!("drained");
            if let Some(pages) = pages {
                pages.stop().await;
            }
        };
        tokio::select! {
            () = end => {}
            signal = signals.next() => warn!("{signal} again: ending at once"),
        }
    }
}

/// What is to be watched for, depending on where the machine is.
struct Watch {
    warm: bool,
    census: bool,
    tick: bool,
}

impl Watch {
    fn of(machine: &Machine, proxy: Option<&Proxy>) -> Self {
        let is_there = proxy.is_some();
        let is_starting = machine.own == Own::Starting;
        let may_be_warm = matches!(machine.older, Older::Warming | Older::None);
        let is_draining = matches!(machine.newer, Newer::Draining { is_empty: false, .. });
        Self {
            warm: is_there && is_starting && may_be_warm,
            census: is_there && (is_draining || machine.newer == Newer::Released),
            tick: is_draining,
        }
    }
}

/// Whether the process died with its connection.
async fn lost(link: Option<Link>, error: &ChannelError) -> bool {
    let Some(link) = link else { return true };
    let is_dead = link.is_dead().await;
    let state = if is_dead { "it is dead" } else { "it lives" };
    warn!(pid = link.pid, "hot restart: {error}; {state}");
    is_dead
}

async fn receive(link: &mut Option<Link>) -> Result<Received, ChannelError> {
    match link {
        Some(link) => link.receive().await,
        None => pending().await,
    }
}

async fn page(proxy: Option<&Proxy>) -> Asked {
    match proxy {
        Some(proxy) => proxy.status.asked().await,
        None => pending().await,
    }
}

async fn warm(proxy: Option<&Proxy>) {
    if let Some(proxy) = proxy
        && proxy.warm.clone().wait_for(|is_warm| *is_warm).await.is_ok()
    {
        return;
    }
    // Whoever tells is gone: with the process.
    pending().await
}

async fn empty(proxy: Option<&Proxy>) {
    match proxy {
        Some(proxy) => proxy.data_plane.shared().census.empty().await,
        None => pending().await,
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline.into()).await,
        None => pending().await,
    }
}

/// `None` for a time too long to come.
fn from_now(time: Duration) -> Option<Instant> {
    Instant::now().checked_add(time)
}
