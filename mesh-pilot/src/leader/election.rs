//! Asks for a lease, keeps it, and gives it back.

use std::time::{Duration, Instant};

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PostParams};
use mesh_runtime::drain::Watcher;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use super::Leadership;
use super::lease::{self, LASTS, Seen, Step};
use crate::cluster;

/// How often the lease is looked at, and renewed.
const LOOKS: Duration = Duration::from_secs(2);
/// Who could not renew for so long acts no more: well before anybody else may begin.
const GIVES_UP: Duration = Duration::from_secs(10);
/// The drain does not wait longer for a lease to be given back.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// One pilot's part in an election.
pub struct Election {
    api: Api<Lease>,
    /// Of the lease.
    name: String,
    /// By which the pilot is known in it.
    me: String,
    seen: Option<Seen>,
    leads: watch::Sender<bool>,
}

impl Election {
    /// For the lease of this name, among pilots that have different names.
    pub fn new(client: kube::Client, namespace: &str, name: &str, me: &str) -> (Self, Leadership) {
        let (leads, leadership) = watch::channel(false);
        let api = Api::namespaced(client, namespace);
        let (name, me) = (name.to_owned(), me.to_owned());
        (Self { api, name, me, seen: None, leads }, Leadership(leadership))
    }

    /// Takes part until the drain begins, and gives the lease back then.
    pub async fn run(mut self, mut drain: Watcher) {
        tokio::select! {
            () = self.take_part() => {}
            _ = drain.begun() => {}
        }
        if self.leads.send_replace(false) {
            match timeout(LAST_WORDS, self.release()).await {
                Ok(Ok(())) => info!(lease = self.name, "the lease is given back"),
                Ok(Err(error)) => {
                    let error = cluster::explain(&error);
                    warn!(lease = self.name, error, "the lease is not given back, and runs out");
                }
                Err(_) => warn!(lease = self.name, "the lease is not given back, and runs out"),
            }
        }
    }

    async fn take_part(&mut self) {
        let mut renewed = Instant::now();
        let mut said = String::new();
        loop {
            let begin = Instant::now();
            let left = GIVES_UP.saturating_sub(renewed.elapsed());
            let patience = if *self.leads.borrow() { left } else { LASTS };
            let outcome = match timeout(patience, self.look()).await {
                Ok(outcome) => outcome.map_err(|error| cluster::explain(&error)),
                Err(_) => Err("the API server does not answer".to_owned()),
            };
            match outcome {
                Ok(leads) => {
                    said.clear();
                    if leads {
                        renewed = begin;
                    }
                    self.set(leads);
                }
                Err(error) => {
                    if error != said {
                        warn!(lease = self.name, error, "the lease cannot be had");
                        said = error;
                    }
                    if renewed.elapsed() >= GIVES_UP {
                        self.set(false);
                    }
                }
            }
            let left = GIVES_UP.saturating_sub(renewed.elapsed());
            let pause = if *self.leads.borrow() { LOOKS.min(left) } else { LOOKS };
            sleep(pause).await;
        }
    }

    fn set(&self, leads: bool) {
        let changed = self.leads.send_if_modified(|now| std::mem::replace(now, leads) != leads);
        match (changed, leads) {
            (true, true) => info!(lease = self.name, "this pilot leads"),
            (true, false) => warn!(lease = self.name, "this pilot leads no more"),
            (false, _) => {}
        }
    }

    /// Whether the lease is ours.
    async fn look(&mut self) -> Result<bool, kube::Error> {
        let found = self.api.get_opt(&self.name).await?;
        let now = Instant::now();
        self.seen = found.map(|lease| Seen::now(self.seen.take(), lease, now));
        let params = PostParams::default();
        let stored = match lease::step(self.seen.as_ref(), &self.name, &self.me, now) {
            Step::Wait => return Ok(false),
            Step::Create(lease) => self.api.create(&params, &lease).await,
            Step::Replace(lease) => self.api.replace(&self.name, &params, &lease).await,
        };
        match stored {
            Ok(lease) => {
                self.seen = Some(Seen::now(self.seen.take(), lease, now));
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                debug!(lease = self.name, "another pilot was first");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn release(&self) -> Result<(), kube::Error> {
        let Some(lease) = self.api.get_opt(&self.name).await? else { return Ok(()) };
        if lease::holder(&lease) == self.me {
            let released = lease::released(lease);
            self.api.replace(&self.name, &PostParams::default(), &released).await?;
        }
        Ok(())
    }
}
