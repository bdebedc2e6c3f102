//! How soon nobody asks a pod any more that is about to end.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::e2e::ctx::Ctx;
use crate::e2e::load::{self, Load, unix_ms};
use crate::e2e::{Figures, fixture};

const REPLICAS: u32 = 8;
/// A pod that ends still answers for so long, so that who asks it too late is seen.
const LINGER: u32 = 6;
const DELETIONS: usize = 20;
/// At p99, in milliseconds.
const LIMIT: f64 = 150.0;

/// Pods are deleted one after the other under load. The time is from the moment when the
/// EndpointSlice says that a pod is not ready any more, as seen by a watch on this machine, to
/// the pod's last answer.
pub(in crate::e2e) fn run(ctx: &Ctx) -> Result<Figures> {
    fixture::injected_server(ctx, REPLICAS, LINGER)?;
    let clients = load::paced(fixture::SERVER, fixture::PATH, 12, 300);
    let watch = Watch::start(ctx)?;
    let load = Load::start(ctx, "load", &[clients])?;
    let mut deleted = Vec::new();
    while deleted.len() < DELETIONS {
        let pod = ctx.until("enough pods that are ready", || watch.one_ready())?;
        ctx.kubectl(&["delete", "pod", &pod, "--wait=false"])?;
        ctx.until("the EndpointSlice's change", || watch.gone_at(&pod))?;
        deleted.push(pod);
        ctx.pass(Duration::from_millis(300))?;
    }
    let report = load.stop()?;
    report.none_failed()?;
    let mut times = Vec::new();
    for pod in &deleted {
        let (gone, last) = (watch.gone_at(pod)?, report.last_answer_of(pod));
        times.push(last.map_or(0, |last| last.saturating_sub(gone)));
    }
    times.sort_unstable();
    ctx.say(format!("milliseconds: {times:?}"));
    // Of so few, the 99th percentile is the longest.
    let (longest, median) = (times[DELETIONS - 1] as f64, times[DELETIONS / 2]);
    Ok(Figures::default()
        .within("endpoint gone to no more requests: p99", longest, LIMIT, "ms")
        .and(format!("median {median} ms of {DELETIONS}"))
        .and(report.to_string()))
}

/// When each pod of the namespace's EndpointSlices was first said not to be ready any more, in
/// milliseconds of Unix time.
struct Watch {
    child: Child,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    ready: BTreeMap<String, bool>,
    gone: BTreeMap<String, u64>,
}

impl Watch {
    fn start(ctx: &Ctx) -> Result<Self> {
        let page = format!(
            "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices?watch=true",
            ctx.namespace
        );
        let mut kubectl = ctx.mesh().kube.kubectl(&["get", "--raw", &page]);
        kubectl.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = kubectl.spawn().context("cannot start kubectl")?;
        let events = BufReader::new(child.stdout.take().context("kubectl's output")?);
        let seen = Arc::new(Mutex::new(Seen::default()));
        let book = Arc::clone(&seen);
        std::thread::spawn(move || {
            for line in events.lines().map_while(Result::ok) {
                let now = unix_ms();
                let event = serde_json::from_str(&line).unwrap_or_default();
                book.lock().unwrap_or_else(PoisonError::into_inner).enter(&event, now);
            }
        });
        Ok(Self { child, seen })
    }

    /// A pod that is ready, while so many are that one may go.
    fn one_ready(&self) -> Result<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ready = seen.ready.iter().filter(|(_, is_ready)| **is_ready).map(|(name, _)| name);
        let count = ready.clone().count();
        ensure!(count as u32 > REPLICAS / 2, "{count} of {REPLICAS} are ready");
        ready.next().cloned().context("none is ready")
    }

    fn gone_at(&self, pod: &str) -> Result<u64> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.gone.get(pod).copied().with_context(|| format!("{pod} is ready by its EndpointSlice"))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Seen {
    fn enter(&mut self, event: &Value, now: u64) {
        let endpoints = event["object"]["endpoints"].as_array().into_iter().flatten();
        let mut ready = BTreeMap::new();
        for endpoint in endpoints {
            let name = endpoint["targetRef"]["name"].as_str().unwrap_or_default();
            ready.insert(name.to_owned(), endpoint["conditions"]["ready"] == true);
        }
        for (name, _) in self.ready.iter().filter(|(_, was_ready)| **was_ready) {
            if ready.get(name) != Some(&true) {
                self.gone.entry(name.clone()).or_insert(now);
            }
        }
        self.ready = ready;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_pod_is_gone_when_its_endpoint_was_ready_and_is_not() {
        let event = |endpoints: &[(&str, bool)]| {
            let one = |(name, ready): &(&str, bool)| json!({"targetRef": {"name": name}, "conditions": {"ready": ready}});
            json!({"object": {"endpoints": endpoints.iter().map(one).collect::<Vec<_>>()}})
        };
        let mut seen = Seen::default();
        seen.enter(&event(&[("a", false), ("b", true)]), 1);
        seen.enter(&event(&[("a", true), ("b", true)]), 2);
        assert!(seen.gone.is_empty());
        seen.enter(&event(&[("a", false), ("b", true)]), 3);
        seen.enter(&event(&[("b", true)]), 4);
        seen.enter(&event(&[]), 5);
        assert_eq!(seen.gone, BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 5)]));
    }
}
