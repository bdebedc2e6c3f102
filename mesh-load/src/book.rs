//! What one kind of clients has seen so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::failure::Failure;
use crate::histogram::Histogram;

/// Failures of a kind of clients that are told one by one; all are counted.
const TOLD: usize = 1000;

/// The books of one kind of clients, shared by all of them.
pub(crate) struct Book {
    name: String,
    /// Successful requests of all books.
    total: Arc<AtomicU64>,
    pages: Mutex<Pages>,
}

struct Pages {
    phase: Arc<str>,
    /// How long answers took, by phase.
    phases: BTreeMap<Arc<str>, Histogram>,
    second: Histogram,
    requests: u64,
    connections: u64,
    /// Refused by the server so that they could be sent again, and were.
    sent_again: u64,
    failures: BTreeMap<String, u64>,
    told: Vec<Value>,
    answers: Gap,
    connects: Gap,
    serials: BTreeSet<String>,
    servers: BTreeMap<String, Server>,
}

/// What a server that gives its name has answered.
struct Server {
    answers: u64,
    last: Instant,
}

/// The longest time between two events.
struct Gap {
    last: Instant,
    longest: Duration,
}

impl Gap {
    fn event(&mut self, now: Instant) {
        self.longest = self.longest.max(now.saturating_duration_since(self.last));
        self.last = now;
    }

    fn until(&self, end: Instant) -> Duration {
        self.longest.max(end.saturating_duration_since(self.last))
    }
}

impl Book {
    pub(crate) fn new(name: &str, phase: &Arc<str>, total: Arc<AtomicU64>) -> Self {
        let gap = || Gap { last: Instant::now(), longest: Duration::ZERO };
        let pages = Pages {
            phase: Arc::clone(phase),
            phases: BTreeMap::new(),
            second: Histogram::default(),
            requests: 0,
            connections: 0,
            sent_again: 0,
            failures: BTreeMap::new(),
            told: Vec::new(),
            answers: gap(),
            connects: gap(),
            serials: BTreeSet::new(),
            servers: BTreeMap::new(),
        };
        Self { name: name.to_owned(), total, pages: Mutex::new(pages) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// From here on times are counted under this name.
    pub(crate) fn phase(&self, name: &Arc<str>) {
        self.pages().phase = Arc::clone(name);
    }

    pub(crate) fn connected(&self) {
        let mut pages = self.pages();
        pages.connections += 1;
        pages.connects.event(Instant::now());
    }

    /// A server has shown a certificate with this serial number.
    pub(crate) fn certificate(&self, serial: String) {
        self.pages().serials.insert(serial);
    }

    /// The server of that name has given an answer.
    pub(crate) fn served_by(&self, name: &str) {
        let now = Instant::now();
        let mut pages = self.pages();
        if let Some(server) = pages.servers.get_mut(name) {
            (server.answers, server.last) = (server.answers + 1, now);
        } else {
            pages.servers.insert(name.to_owned(), Server { answers: 1, last: now });
        }
    }

    /// A request that began, or should have begun, at `start` has its whole answer.
    pub(crate) fn answered(&self, start: Instant) {
        let now = Instant::now();
        let took = now.saturating_duration_since(start);
        let mut pages = self.pages();
        pages.requests += 1;
        pages.answers.event(now);
        pages.second.record(took);
        let phase = Arc::clone(&pages.phase);
        pages.phases.entry(phase).or_default().record(took);
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that the server said it had not processed goes to another connection.
    pub(crate) fn sent_again(&self) {
        self.pages().sent_again += 1;
    }

    /// `connected`: when the connection was made, if there was one.
    pub(crate) fn failed(&self, failure: &Failure, connected: Option<Instant>) {
        let mut pages = self.pages();
        *pages.failures.entry(failure.kind()).or_default() += 1;
        if pages.told.len() < TOLD {
            pages.told.push(json!({
                "at_ms": unix_ms(Instant::now()),
                "connected_at_ms": connected.map(unix_ms),
                "lost_connection": failure.is_lost_connection(),
                "what": failure.to_string(),
            }));
        }
    }

    pub(crate) fn failures(&self) -> u64 {
        self.pages().failures.values().sum()
    }

    /// How long the answers took since the last call.
    pub(crate) fn take_second(&self) -> Histogram {
        std::mem::take(&mut self.pages().second)
    }

    pub(crate) fn phases(&self) -> BTreeMap<Arc<str>, Histogram> {
        self.pages().phases.clone()
    }

    /// Everything, with the gaps up to `end`, when clients began to leave.
    pub(crate) fn report(&self, end: Instant) -> Value {
        let pages = self.pages();
        let (used, connected) = (pages.requests > 0, pages.connections > 0);
        let gap = |gap: &Gap, any: bool| any.then(|| milliseconds(gap.until(end)));
        json!({
            "name": self.name,
            "requests": pages.requests,
            "connections": pages.connections,
            "sent_again": pages.sent_again,
            "failures": pages.failures,
            "told": pages.told,
            "longest_gap_ms": gap(&pages.answers, used),
            "longest_connect_gap_ms": gap(&pages.connects, connected),
            "certificates": pages.serials,
            "servers": servers(&pages.servers),
            "phases": phases(&pages.phases),
        })
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn servers(servers: &BTreeMap<String, Server>) -> Value {
    let one = |(name, server): (&String, &Server)| {
        (name.clone(), json!({"answers": server.answers, "last_at_ms": unix_ms(server.last)}))
    };
    Value::Object(servers.iter().map(one).collect())
}

/// Phases as the report has them.
pub(crate) fn phases(phases: &BTreeMap<Arc<str>, Histogram>) -> Value {
    let one = |(name, times): (&Arc<str>, &Histogram)| (name.to_string(), times.report());
    Value::Object(phases.iter().map(one).collect())
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1000.0
}

/// The wall clock at that moment, so that others can say what happened then.
fn unix_ms(at: Instant) -> u64 {
    let then = SystemTime::now() - at.elapsed();
    let since = then.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_is_in_the_report() {
        let total = Arc::new(AtomicU64::new(0));
        let book = Book::new("a", &"calm".into(), Arc::clone(&total));
        book.connected();
        book.answered(Instant::now());
        book.phase(&"storm".into());
        book.answered(Instant::now() - Duration::from_millis(40));
        book.failed(&Failure::Timeout, None);
        book.served_by("a");
        book.served_by("a");
        let report = book.report(Instant::now());
        assert_eq!((report["requests"].as_u64(), total.load(Ordering::Relaxed)), (Some(2), 2));
        assert_eq!(report["phases"]["calm"]["count"], 1);
        assert!(report["phases"]["storm"]["p99_ms"].as_f64().unwrap() >= 40.0);
        assert_eq!(report["failures"]["timeout"], 1);
        assert_eq!(report["told"][0]["lost_connection"], false);
        assert_eq!(report["servers"]["a"]["answers"], 2);
        assert_eq!(book.take_second().report()["count"], 2);
        assert_eq!(book.take_second().report()["count"], 0);
    }

    #[test]
    fn a_gap_lasts_until_the_report() {
        let book = Book::new("a", &"calm".into(), Arc::default());
        assert!(book.report(Instant::now())["longest_gap_ms"].is_null());
        book.answered(Instant::now());
        std::thread::sleep(Duration::from_millis(30));
        assert!(book.report(Instant::now())["longest_gap_ms"].as_f64().unwrap() >= 30.0);
    }
}
