//! What the proxies' admin pages and the kernel say, all along.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::agent::Handle;
use super::setup::Setup;
use crate::http::Client;
use crate::process::{self, Usage};

const PAUSE: Duration = Duration::from_millis(100);

/// How long gauges may take to say that nothing is there any more.
const SETTLE_DEADLINE: Duration = Duration::from_secs(30);

/// Samples until it is stopped.
pub(super) struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Default)]
pub(super) struct Seen {
    /// How often counters were read.
    pub(super) samples: u64,
    /// How often nobody answered on the admin port.
    pub(super) unanswered: u64,
    pub(super) first: BTreeMap<String, u64>,
    pub(super) last: BTreeMap<String, u64>,
    /// Counters that were lower than before.
    pub(super) fell: BTreeSet<String>,
    /// Resident bytes, of one proxy alone and of two together.
    pub(super) alone: Vec<u64>,
    pub(super) together: Vec<u64>,
}

impl Sampler {
    pub(super) fn start(agent: Handle, admin: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !flag.load(Ordering::Relaxed) {
                seen.counters(admin);
                seen.memory(&agent);
                std::thread::sleep(PAUSE);
            }
            seen.counters(admin);
            seen
        });
        Self { stop, thread }
    }

    pub(super) fn stop(self) -> Result<Seen> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(seen) = self.thread.join() else { bail!("the sampler panicked") };
        Ok(seen)
    }
}

impl Seen {
    fn counters(&mut self, admin: SocketAddr) {
        let Ok(now) = stats(admin, "Counters") else {
            self.unanswered += 1;
            return;
        };
        self.samples += 1;
        for (name, value) in &now {
            let before = self.last.get(name).copied().unwrap_or(0);
            if *value < before {
                self.fell.insert(format!("{name} from {before} to {value}"));
            }
        }
        let gone = self.last.iter().filter(|(name, value)| **value > 0 && !now.contains_key(*name));
        self.fell.extend(gone.map(|(name, value)| format!("{name} from {value} to nothing")));
        if self.samples == 1 {
            self.first.clone_from(&now);
        }
        self.last = now;
    }

    fn memory(&mut self, agent: &Handle) {
        let Ok(generations) = agent.generations() else { return };
        let resident = |pid: u32| Usage::of(pid).map(|usage| usage.resident);
        let all: Result<Vec<u64>> = generations.iter().map(|one| resident(one.pid)).collect();
        // One that has just ended.
        let Ok(all) = all else { return };
        match all.len() {
            1 => self.alone.extend(all),
            _ => self.together.push(all.iter().sum()),
        }
    }
}

/// A page of stats, each by its name. A new connection each time: a kept one would go on
/// asking a proxy that was replaced.
fn stats(admin: SocketAddr, kind: &str) -> Result<BTreeMap<String, u64>> {
    let answer = Client::new(admin).get(&format!("/stats?type={kind}"), &[])?;
    let parse = |line: &str| {
        let (name, value) = line.rsplit_once(": ")?;
        Some((name.to_owned(), value.parse().ok()?))
    };
    Ok(answer.body.lines().filter_map(parse).collect())
}

/// Gauges beside what they should say, once the load has ended.
pub(super) struct Gauges {
    /// Those of clients, which should be 0, and are not.
    pub(super) wrong: BTreeMap<String, u64>,
    /// Connections to the upstream's HTTP port, by the gauges and by the kernel.
    pub(super) upstream: (u64, u64),
}

impl Gauges {
    /// Waits until they are as they should be; gives them as they are after 10 s at the
    /// latest.
    pub(super) fn settled(setup: &Setup) -> Result<Self> {
        let start = Instant::now();
        loop {
            let now = Self::read(setup)?;
            if now.are_true() || start.elapsed() > SETTLE_DEADLINE {
                return Ok(now);
            }
            std::thread::sleep(PAUSE);
        }
    }

    pub(super) fn are_true(&self) -> bool {
        self.wrong.is_empty() && self.upstream.0 == self.upstream.1
    }

    fn read(setup: &Setup) -> Result<Self> {
        let all = stats(setup.admin, "Gauges").context("the admin pages")?;
        let of_clients = |name: &str| {
            let kind = name.split('.').next_back().unwrap_or_default();
            let active = kind.starts_with("downstream_") && kind.ends_with("_active");
            (active || kind == "upstream_rq_active") && !name.contains("admin")
        };
        let upstream = ["http1", "http2"].iter().filter_map(|cluster| {
            all.get(&format!("cluster.{cluster}.upstream_cx_active")).copied()
        });
        let upstream = (upstream.sum(), process::connections_to(setup.upstream.http.port())?);
        let wrong = all.iter().filter(|(name, value)| **value != 0 && of_clients(name));
        let wrong = wrong.map(|(name, value)| (name.clone(), *value)).collect();
        Ok(Self { wrong, upstream })
    }
}
