//! The upstreams: they note what they get and answer what the case says.

mod http1;
mod http2;

use std::cell::{Cell, RefCell, RefMut};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::case::{Answer, Answers};
use crate::tls::{self, Certificates};
use crate::wire::{self, Body, Io, Wire};

/// How long a request may take to its upstream, on a machine that is busy.
const ARRIVAL: Duration = Duration::from_secs(30);

/// All upstreams of an area.
#[derive(Clone)]
pub(crate) struct Upstreams(Rc<Inner>);

struct Inner {
    certificates: Certificates,
    state: RefCell<State>,
    /// How many requests have come.
    arrived: watch::Sender<usize>,
    /// Whether a request that comes now has to wait,
    holds: Cell<bool>,
    /// and until when.
    released: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    seen: Vec<Value>,
    script: Script,
    by_host: HashMap<String, Script>,
}

/// Answers in turn; the last one goes on.
#[derive(Default)]
struct Script {
    answers: Vec<Answer>,
    at: usize,
}

impl Script {
    fn new(answers: &Answers) -> Self {
        Self { answers: answers.0.clone(), at: 0 }
    }

    fn next(&mut self) -> Answer {
        let at = self.at.min(self.answers.len().saturating_sub(1));
        self.at += 1;
        self.answers.get(at).cloned().unwrap_or_default()
    }
}

impl Upstreams {
    /// Listens for each of these, on this runtime.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub(crate) async fn start(
        hosts: &BTreeMap<String, SocketAddr>,
        certificates: Certificates,
    ) -> Result<Self> {
        let all = Self(Rc::new(Inner {
            certificates,
            state: RefCell::default(),
            arrived: watch::channel(0).0,
            holds: Cell::new(false),
            released: watch::channel(false).0,
        }));
        for (name, address) in hosts {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("upstream {name}: {address}"))?;
            spawn_local(accept(all.clone(), name.clone(), listener));
        }
        Ok(all)
    }

    /// A case begins: what its hosts always answer.
    pub(crate) fn begin(&self, by_host: &BTreeMap<String, Answers>) {
        let script = |(name, answers): (&String, &Answers)| (name.clone(), Script::new(answers));
        let mut state = self.state();
        *state = State::default();
        state.by_host = by_host.iter().map(script).collect();
        self.0.arrived.send_replace(0);
        self.0.holds.set(false);
    }

    /// What is answered from now on.
    pub(crate) fn answer(&self, answers: &Answers) {
        self.state().script = Script::new(answers);
    }

    /// The next requests are not answered,
    pub(crate) fn hold(&self) {
        self.0.released.send_replace(false);
        self.0.holds.set(true);
    }

    /// and those that come after this are,
    pub(crate) fn hold_no_more(&self) {
        self.0.holds.set(false);
    }

    /// and these, too, after this.
    pub(crate) fn release(&self) {
        self.0.released.send_replace(true);
    }

    /// How many requests have come in this case.
    pub(crate) fn arrived(&self) -> usize {
        *self.0.arrived.borrow()
    }

    /// Waits until there have been more than `before`.
    ///
    /// # Errors
    /// When none comes in time.
    pub(crate) async fn more_than(&self, before: usize) -> Result<()> {
        let mut arrived = self.0.arrived.subscribe();
        let more = arrived.wait_for(|count| *count > before);
        timeout(ARRIVAL, more).await.context("no upstream has got the request")??;
        Ok(())
    }

    /// What they got in this case.
    pub(crate) fn seen(&self) -> Vec<Value> {
        self.state().seen.clone()
    }

    /// Which answer the next request to `host` gets.
    fn next(&self, host: &str) -> Answer {
        let mut state = self.state();
        match state.by_host.get_mut(host) {
            Some(script) => script.next(),
            None => state.script.next(),
        }
    }

    /// Notes a request, and waits until it may be answered.
    async fn note(&self, request: Value) {
        self.state().seen.push(request);
        let is_held = self.0.holds.get();
        self.0.arrived.send_modify(|count| *count += 1);
        if is_held {
            // Its other end is in `self`.
            let _ = self.0.released.subscribe().wait_for(|released| *released).await;
        }
    }

    fn state(&self) -> RefMut<'_, State> {
        self.0.state.borrow_mut()
    }
}

async fn accept(all: Upstreams, name: String, listener: TcpListener) {
    while let Ok((io, _)) = listener.accept().await {
        let _ = io.set_nodelay(true);
        spawn_local(serve(all.clone(), name.clone(), io));
    }
}

async fn serve(all: Upstreams, name: String, io: TcpStream) {
    let mut first = [0; 3];
    let Ok(1..) = io.peek(&mut first).await else { return };
    if first[0] == tls::HANDSHAKE {
        let Ok((io, facts)) = all.0.certificates.accept(io).await else { return };
        let is_http2 = facts["alpn"] == "h2";
        speak(&Peer { all, name, tls: facts }, Box::new(io), is_http2).await;
    } else {
        let is_http2 = first == *b"PRI";
        speak(&Peer { all, name, tls: Value::Null }, Box::new(io), is_http2).await;
    }
}

async fn speak(peer: &Peer, io: Box<dyn Io>, is_http2: bool) {
    match is_http2 {
        true => http2::serve(peer, io).await,
        false => http1::serve(peer, Wire::new(io)).await,
    }
}

/// Whom a connection is with.
#[derive(Clone)]
struct Peer {
    all: Upstreams,
    /// The upstream's own name.
    name: String,
    /// What the handshake told; null in plain.
    tls: Value,
}

impl Peer {
    fn next(&self) -> Answer {
        self.all.next(&self.name)
    }

    /// What is compared of a request.
    async fn note(&self, line: &str, headers: &[(String, String)], body: &Body) {
        let headers = wire::headers(headers);
        let mut seen = json!({"host": self.name, "request": line, "headers": headers});
        body.add_to(&mut seen);
        if !self.tls.is_null() {
            seen["tls"] = self.tls.clone();
        }
        self.all.note(seen).await;
    }
}
