//! Does what the supervisor says.

use std::future::pending;
use std::io;
use std::process::ExitStatus;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use mesh_runtime::memory;
use mesh_runtime::shutdown::Signals;
use rustix::process::Signal;
use tokio::signal::unix;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::admin::Admin;
use super::causes::Causes;
use super::emptying::{ask_to_drain, watch_connections};
use super::found::{self, Record};
use super::generation::Generation;
use super::local_api::{self, GenerationStatus, Status};
use super::orphans;
use super::plan::{Plan, Prepared};
use super::requests::{Request, Requests};
use super::revisions::Document;
use super::servers::Servers;
use super::supervisor::{Action, Epoch, Event, Supervisor, Trust};

/// The longest pause between two questions whether a new generation is ready.
const MAX_PAUSE: Duration = Duration::from_millis(250);

/// What others tell the agent's loop.
pub(super) enum Message {
    Event(Event),
    Restart(Request),
    Status(oneshot::Sender<Status>),
    Prepared(anyhow::Result<Prepared>),
}

/// The proxies and what is known of them.
pub(super) struct Agent {
    plan: Rc<Plan>,
    supervisor: Supervisor,
    admin: Admin,
    servers: Servers,
    generations: Vec<Generation>,
    /// What the next generation is started with.
    document: Document,
    requests: Requests,
    causes: Causes,
    /// Why the last thing went wrong.
    why: String,
    wake: Option<Instant>,
    awaiting: Option<AbortHandle>,
    messages: mpsc::UnboundedReceiver<Message>,
    sender: mpsc::UnboundedSender<Message>,
}

impl Agent {
    /// For proxies that run already, or none.
    pub(super) fn new(
        plan: Plan,
        supervisor: Supervisor,
        admin: Admin,
        servers: Servers,
        generations: Vec<Generation>,
        document: Document,
    ) -> anyhow::Result<Self> {
        let (sender, messages) = mpsc::unbounded_channel();
        local_api::serve(plan.folder(), sender.clone())?;
        let causes = Causes::new(&plan.binary.path, &plan.source)?;
        Ok(Self {
            plan: Rc::new(plan),
            supervisor,
            admin,
            servers,
            generations,
            document,
            requests: Requests::default(),
            causes,
            why: String::new(),
            wake: None,
            awaiting: None,
            messages,
            sender,
        })
    }

    /// Asks for a restart as soon as the loop runs.
    pub(super) fn restart(&self, reason: String) {
        // Its other end is ours.
        let _ = self.sender.send(Message::Restart(Request { reason, reply: None }));
    }

    /// Looks after the proxies to their end; gives the exit code. `first` is what is to be
    /// done first; that the first proxy cannot be started at all is an error.
    pub(super) async fn run(
        mut self,
        signals: &mut Signals,
        mut hangup: unix::Signal,
        first: Vec<Action>,
    ) -> anyhow::Result<u8> {
        tokio::task::spawn_local(orphans::reap(self.plan.awaited.clone()));
        tokio::task::spawn_local(memory::keep_small(|| ()));
        match self.generations.last().map(Generation::epoch) {
            Some(newest) => {
                self.watch_certificates();
                self.await_ready(newest);
            }
            None => self.start(0)?,
        }
        let mut actions = first;
        loop {
            for action in actions {
                if let Some(code) = self.perform(action) {
                    self.clear();
                    return Ok(code);
                }
            }
            actions = match self.event(signals, &mut hangup).await {
                Some(event) => self.supervisor.step(event, Instant::now()),
                None => Vec::new(),
            };
        }
    }

    /// The next thing that happens, if it is one for the supervisor.
    async fn event(&mut self, signals: &mut Signals, hangup: &mut unix::Signal) -> Option<Event> {
        tokio::select! {
            (index, status) = first_end(&mut self.generations) => Some(self.ended(index, status)),
            () = sleep_until(self.wake) => {
                self.wake = None;
                Some(Event::Timer)
            }
            name = signals.next() => {
                tracing::info!("{name}");
                Some(Event::Signal)
            }
            _ = hangup.recv() => Some(self.asked("SIGHUP".to_owned())),
            reason = self.causes.next() => Some(self.asked(reason)),
            () = self.servers.told_to_leave() => Some(Event::Signal),
            // Never closed: a sender is ours.
            Some(message) = self.messages.recv() => self.told(message),
        }
    }

    fn ended(&mut self, index: usize, status: io::Result<Option<ExitStatus>>) -> Event {
        let generation = self.generations.remove(index);
        let epoch = generation.epoch();
        let end = generation.end(status);
        tracing::info!(epoch, "the proxy ended: {}", end.why);
        self.why = end.why;
        self.write_down();
        Event::Exited { epoch, exit: end.exit }
    }

    fn asked(&mut self, reason: String) -> Event {
        self.requested(Request { reason, reply: None })
    }

    fn requested(&mut self, request: Request) -> Event {
        tracing::info!("a restart is asked for: {}", request.reason);
        self.requests.add(request);
        Event::Restart
    }

    fn told(&mut self, message: Message) -> Option<Event> {
        match message {
            Message::Restart(request) => Some(self.requested(request)),
            Message::Status(reply) => {
                // Whoever asked may have gone.
                let _ = reply.send(self.status());
                None
            }
            Message::Event(Event::Ready { epoch }) => {
                let mut all = self.generations.iter_mut();
                let new = all.find(|one| one.epoch() == epoch && !one.record.ready);
                if let Some(generation) = new {
                    generation.record.ready = true;
                    tracing::info!(epoch, "the proxy is ready");
                    self.write_down();
                }
                Some(Event::Ready { epoch })
            }
            Message::Event(event) => Some(event),
            Message::Prepared(Ok(Prepared { document, hand_over })) => {
                self.document = document;
                let can = hand_over.is_ok();
                self.why = hand_over.err().unwrap_or_default();
                Some(Event::Prepared { hand_over: can })
            }
            Message::Prepared(Err(error)) => {
                self.why = format!("{error:#}");
                Some(Event::Refused)
            }
        }
    }

    /// Does it; gives the exit code when it is time to leave.
    fn perform(&mut self, action: Action) -> Option<u8> {
        match action {
            Action::Prepare => self.prepare(),
            Action::Start(epoch) => {
                self.supervisor.set_drain(self.plan.binary.kind.drain());
                if let Err(error) = self.start(epoch) {
                    self.why = format!("{error:#}");
                    tracing::error!("{}", self.why);
                    // As if it had started and ended at once.
                    let exit = super::supervisor::Exit::Bad;
                    let event = Event::Exited { epoch, exit };
                    let again = self.supervisor.step(event, Instant::now());
                    return again.into_iter().find_map(|action| self.perform(action));
                }
            }
            Action::WakeAt(at) => self.wake = Some(at),
            Action::Trust(trust) => self.trust(trust),
            Action::MakeWay => tracing::error!(
                "no hot restart: {}. The old proxy is drained and ended before the new one \
                 starts; until that serves, connections are refused",
                self.why
            ),
            Action::Unready => self.servers.ready(false),
            Action::Serve => self.servers.ready(true),
            Action::AskToDrain => ask_to_drain(self.admin.clone()),
            Action::WatchConnections => {
                let several = self.generations.len() > 1;
                watch_connections(self.admin.clone(), several, self.sender.clone());
            }
            Action::Terminate(epoch) => self.signal(epoch, Signal::TERM),
            Action::Kill(epoch) => self.signal(epoch, Signal::KILL),
            Action::Report(outcome) => {
                let serving = self.supervisor.serving().unwrap_or_default();
                self.requests.finish(outcome, serving, &self.why);
            }
            Action::Leave(code) => return Some(code),
        }
        None
    }

    fn prepare(&mut self) {
        self.requests.begin();
        let serving = self.supervisor.serving();
        let old = self.generations.iter().find(|one| Some(one.epoch()) == serving);
        let mut old = old.map(|old| (old.record.clone(), old.program()));
        let (plan, sender) = (Rc::clone(&self.plan), self.sender.clone());
        let admin = self.admin.clone();
        tokio::task::spawn_local(async move {
            // It may have got ready since it was asked the last time.
            if let Some((Record { epoch, ready: ready @ false, .. }, _)) = &mut old
                && admin.serves(*epoch).await.unwrap_or_default()
            {
                *ready = true;
                let _ = sender.send(Message::Event(Event::Ready { epoch: *epoch }));
            }
            let prepared = plan.prepare(old).await;
            // Nobody listens when the agent is leaving.
            let _ = sender.send(Message::Prepared(prepared));
        });
    }

    fn start(&mut self, epoch: Epoch) -> anyhow::Result<()> {
        let generation = self.plan.start(epoch, &self.document, &self.generations)?;
        self.generations.push(generation);
        self.servers.proxy_started();
        self.write_down();
        self.watch_certificates();
        self.await_ready(epoch);
        Ok(())
    }

    fn watch_certificates(&mut self) {
        match self.plan.certificates(&self.document) {
            Ok(certificates) => self.causes.watch_certificates(certificates),
            Err(error) => tracing::warn!("certificate files are not watched: {error:#}"),
        }
    }

    fn await_ready(&mut self, epoch: Epoch) {
        let (admin, sender) = (self.admin.clone(), self.sender.clone());
        let awaiting = tokio::spawn(async move {
            let mut pause = Duration::from_millis(10);
            while !admin.serves(epoch).await.unwrap_or_default() {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_PAUSE);
            }
            let _ = sender.send(Message::Event(Event::Ready { epoch }));
        });
        if let Some(before) = self.awaiting.replace(awaiting.abort_handle()) {
            before.abort();
        }
    }

    fn trust(&self, trust: Trust) {
        let has_been_ready = self.generations.iter().any(|generation| generation.record.ready);
        self.admin.trust(if has_been_ready { trust } else { Trust::Asked });
    }

    fn signal(&self, epoch: Epoch, signal: Signal) {
        for generation in self.generations.iter().filter(|one| one.epoch() == epoch) {
            tracing::info!(epoch, ?signal, "to the proxy");
            generation.signal(signal);
        }
    }

    /// For an agent that comes after this one.
    fn write_down(&self) {
        let records = self.generations.iter().map(|one| one.record.clone()).collect();
        if let Err(error) = found::save(self.plan.folder(), records) {
            tracing::warn!(%error, "another agent would not find the proxy");
        }
        self.plan.prune(&self.generations);
    }

    fn status(&self) -> Status {
        let generations = self.generations.iter().map(|generation| GenerationStatus {
            epoch: generation.epoch(),
            pid: generation.record.id.pid,
            state: self.supervisor.state_of(generation.epoch()).to_owned(),
            ready: generation.record.ready,
            adopted: generation.adopted,
            binary: generation.record.binary.clone(),
            config: generation.record.config.clone(),
            started: generation.record.started,
        });
        Status {
            state: self.supervisor.state().to_owned(),
            pid: std::process::id(),
            binary: self.plan.binary.path.clone(),
            no_hot_restart: self.plan.hot_restart.as_ref().err().cloned(),
            generations: generations.collect(),
            waiting: self.requests.waiting(),
            last_restart: self.requests.last().cloned(),
        }
    }

    /// All have ended.
    fn clear(&self) {
        let folder = self.plan.folder();
        found::remove(folder);
        let _ = std::fs::remove_file(local_api::socket(folder));
        if let Ok(hot_restart) = &self.plan.hot_restart {
            hot_restart.clear();
        }
    }
}

/// Waits for the first of them to end, for ever when there is none. Cancel-safe.
async fn first_end(generations: &mut [Generation]) -> (usize, io::Result<Option<ExitStatus>>) {
    if generations.is_empty() {
        return pending().await;
    }
    let ends = generations.iter_mut().map(|generation| Box::pin(generation.ended()));
    let (status, index, _) = select_all(ends).await;
    (index, status)
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
