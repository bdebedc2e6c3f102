//! Requests to productpage, counted by the version of reviews that took part.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};

use crate::http::Client;

/// Connections that ask at the same time.
const CLIENTS: usize = 4;

/// What a header can change about a request's way.
pub(crate) type Headers = &'static [(&'static str, &'static str)];

/// How many requests each version of reviews answered, and what went wrong.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    versions: BTreeMap<String, u64>,
    failures: Vec<String>,
}

impl Tally {
    /// Requests that version `name` answered.
    pub(crate) fn of(&self, name: &str) -> u64 {
        self.versions.get(name).copied().unwrap_or(0)
    }

    /// Requests that were answered.
    pub(crate) fn total(&self) -> u64 {
        self.versions.values().sum()
    }

    /// The versions that answered.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.versions.keys().map(String::as_str).collect()
    }

    /// # Errors
    /// When a request failed; the message has the first ones.
    pub(crate) fn no_failures(&self) -> Result<()> {
        let first: Vec<_> = self.failures.iter().take(5).collect();
        let (count, total) = (self.failures.len(), self.total());
        ensure!(count == 0, "{count} requests failed beside {total} good ones; first: {first:#?}");
        Ok(())
    }

    fn add(&mut self, outcome: Result<String>) {
        match outcome {
            Ok(version) => *self.versions.entry(version).or_default() += 1,
            Err(error) => self.failures.push(format!("{error:#}")),
        }
    }

    fn merge(mut self, other: Self) -> Self {
        for (version, count) in other.versions {
            *self.versions.entry(version).or_default() += count;
        }
        self.failures.extend(other.failures);
        self
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (version, count) in &self.versions {
            write!(f, "{version} {count}, ")?;
        }
        write!(f, "failed {}", self.failures.len())
    }
}

/// Sends exactly `count` requests to the page at this address.
///
/// # Errors
/// When one fails.
pub(crate) fn sample(page: SocketAddr, count: u64, headers: Headers) -> Result<Tally> {
    let sent = Arc::new(AtomicU64::new(0));
    let more = move || sent.fetch_add(1, Ordering::Relaxed) < count;
    let tally = collect(spawn(page, headers, more))?;
    tally.no_failures()?;
    Ok(tally)
}

/// Requests that go on in the background until they are stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

impl Load {
    pub(crate) fn start(page: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = stop.clone();
        Self { stop, clients: spawn(page, &[], move || !flag.load(Ordering::Relaxed)) }
    }

    /// Ends the load and counts.
    ///
    /// # Errors
    /// When a client's thread panicked.
    pub(crate) fn stop(mut self) -> Result<Tally> {
        self.stop.store(true, Ordering::Relaxed);
        collect(std::mem::take(&mut self.clients))
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn spawn(
    page: SocketAddr,
    headers: Headers,
    more: impl Fn() -> bool + Clone + Send + 'static,
) -> Vec<JoinHandle<Tally>> {
    let one = |_| {
        let more = more.clone();
        std::thread::spawn(move || {
            let mut client = Client::new(page);
            let mut tally = Tally::default();
            // Both the page and the API: the page hides a failed part in a good status.
            for path in ["/productpage", "/api/v1/products/0/reviews"].into_iter().cycle() {
                if !more() {
                    break;
                }
                tally.add(ask(&mut client, path, headers));
            }
            tally
        })
    };
    (0..CLIENTS).map(one).collect()
}

fn collect(clients: Vec<JoinHandle<Tally>>) -> Result<Tally> {
    let mut sum = Tally::default();
    for client in clients {
        let Ok(tally) = client.join() else { bail!("a client's thread panicked") };
        sum = sum.merge(tally);
    }
    Ok(sum)
}

fn ask(client: &mut Client, path: &str, headers: Headers) -> Result<String> {
    let answer = client.get(path, headers).with_context(|| path.to_owned())?;
    let (status, body) = (answer.status, answer.body);
    ensure!(status == 200, "{path}: status {status}: {body}");
    ensure!(!body.contains("cannot be had"), "{path}: the page lacks details or reviews");
    ensure!(!body.contains("\"error\"") && !body.contains("no rating:"), "{path}: no ratings");
    version(&body).with_context(|| format!("{path}: no pod of reviews is named: {body}"))
}

/// "v1", from the name of the pod that a page or the API's JSON gives.
fn version(body: &str) -> Option<String> {
    let at = body.find("reviews-v")? + "reviews-".len();
    let version = body.get(at..)?.split(|c: char| !c.is_ascii_alphanumeric()).next()?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pod_tells_the_version() {
        let json = r#"{"id":"0","podname":"reviews-v3-7d9f-x2","clustername":"local"}"#;
        assert_eq!(version(json).unwrap(), "v3");
        assert_eq!(version("<code>reviews-v1-0</code>").unwrap(), "v1");
        assert_eq!(version("<code>details-v1-0</code>"), None);
    }

    #[test]
    fn a_tally_adds_up_and_names_what_failed() {
        let mut a = Tally::default();
        a.add(Ok("v1".to_owned()));
        let mut b = Tally::default();
        b.add(Ok("v1".to_owned()));
        b.add(Err(anyhow::anyhow!("status 503")));
        let sum = a.merge(b);
        assert_eq!((sum.of("v1"), sum.of("v2"), sum.total()), (2, 0, 2));
        assert!(sum.no_failures().unwrap_err().to_string().contains("status 503"));
    }
}
