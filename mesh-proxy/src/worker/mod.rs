//! Worker threads: each one OS thread with a runtime of its own, its own sockets and its
//! own connection pools. Nothing on a worker is shared with another one but [`Shared`].

mod census;
mod shared;

pub(crate) use census::{Census, Member};
pub(crate) use shared::Shared;

use std::io;
use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::pool::Pools;
use crate::stats;

/// What a task on a worker thread finds there. Kept in an [`Rc`]: it never leaves its
/// thread, whose tasks are started with [`tokio::task::spawn_local`].
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    /// This worker's connections to upstreams.
    pub(crate) pools: Pools,
}

/// Something that is done on a worker's thread.
type Job = Box<dyn FnOnce(&Rc<Worker>) + Send>;

/// The way from the control side to the workers. A clone reaches the same ones; before
/// they are started there is nobody to reach, and what is sent is dropped.
#[derive(Clone, Default)]
pub(crate) struct Workers(Arc<OnceLock<Vec<UnboundedSender<Job>>>>);

impl Worker {
    fn new(shared: Arc<Shared>) -> Self {
        Self { shared, pools: Pools::default() }
    }
}

impl Workers {
    /// Starts `count` threads, each with `shared`. They end when the process does.
    pub(crate) fn start(&self, count: usize, shared: &Arc<Shared>) -> io::Result<()> {
        let mut senders = Vec::with_capacity(count);
        for index in 0..count {
            let (sender, receiver) = unbounded_channel();
            spawn(index, shared.clone(), receiver)?;
            senders.push(sender);
        }
        self.0.set(senders).map_err(|_| io::Error::other("the workers were started before"))
    }

    /// How many there are: 0 before they are started.
    pub(crate) fn count(&self) -> usize {
        self.0.get().map_or(0, Vec::len)
    }

    /// Does `job` on the thread of worker `index`, soon.
    pub(crate) fn run(&self, index: usize, job: impl FnOnce(&Rc<Worker>) + Send + 'static) {
        if let Some(worker) = self.0.get().and_then(|workers| workers.get(index)) {
            // A worker that is gone has ended with the process.
            let _ = worker.send(Box::new(job));
        }
    }
}

fn spawn(
    index: usize,
    shared: Arc<Shared>,
    jobs: UnboundedReceiver<Job>,
) -> io::Result<JoinHandle<()>> {
    let (ready, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("worker_{index}")).spawn(move || {
        stats::set_worker(index);
        match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
            Ok(runtime) => {
                let _ = ready.send(Ok(()));
                run(&runtime, Rc::new(Worker::new(shared)), jobs);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        }
    })?;
    started.recv().map_err(|_| io::Error::other("a worker thread ended at once"))??;
    Ok(thread)
}

fn run(runtime: &LocalRuntime, worker: Rc<Worker>, mut jobs: UnboundedReceiver<Job>) {
    runtime.block_on(async {
        while let Some(job) = jobs.recv().await {
            job(&worker);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_run_on_every_worker() {
        let shared = Shared::new(3);
        shared.workers.start(3, &shared).unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        for index in 0..shared.workers.count() {
            let sender = sender.clone();
            shared.workers.run(index, move |_| {
                let name = std::thread::current().name().map(str::to_owned);
                tokio::task::spawn_local(async move { sender.send(name).unwrap() });
            });
        }
        let mut seen: Vec<_> = receiver.iter().take(3).flatten().collect();
        seen.sort();
        assert_eq!(seen, ["worker_0", "worker_1", "worker_2"]);
    }
}
