//! What a new generation is to be: program, configuration and flags.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde_json::Value;

use super::RunArgs;
use super::binary::Binary;
use super::certificates::Certificates;
use super::found::{self, Fingerprint, Record};
use super::generation::{self, Generation};
use super::hot_restart::HotRestart;
use super::log::Log;
use super::node::Node;
use super::orphans::Awaited;
use super::process::Process;
use super::revisions::{Document, Revisions};
use super::source::Source;
use super::strays;
use super::supervisor::Epoch;

/// What does not change while the agent lives.
pub(super) struct Plan {
    pub(super) args: RunArgs,
    pub(super) binary: Binary,
    /// Nothing when the configuration names the node.
    pub(super) node: Option<Node>,
    pub(super) source: Source,
    /// Or why there is none.
    pub(super) hot_restart: Result<HotRestart, String>,
    pub(super) awaited: Awaited,
}

/// What was found to be good for a new generation.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) document: Document,
    /// Or why the old generation cannot hand over to it.
    pub(super) hand_over: Result<(), String>,
}

impl Plan {
    /// Reads the configuration anew and has the program check it.
    pub(super) async fn prepare(&self, old: Option<(Record, PathBuf)>) -> anyhow::Result<Prepared> {
        let document = self.source.read()?;
        let named = || self.source.name();
        self.certificates(&document)?.check().with_context(named)?;
        let candidate = self.revisions().candidate(&document)?;
        self.binary.validate(&candidate, &self.awaited).await.with_context(named)?;
        let hand_over = match (&self.hot_restart, old) {
            (Err(why), _) => Err(why.clone()),
            (Ok(_), None) => Err("no generation lives".to_owned()),
            (Ok(_), Some((old, _))) if !old.ready => {
                Err("the proxy that runs has never been ready".to_owned())
            }
            (Ok(_), Some((old, program))) => {
                self.binary.takes_over(&old, &program, &self.awaited).await
            }
        };
        Ok(Prepared { document, hand_over })
    }

    /// The certificate files that a configuration names.
    pub(super) fn certificates(&self, document: &Document) -> anyhow::Result<Certificates> {
        let bootstrap: Value =
            mesh_yaml::read(&document.text).with_context(|| self.source.name())?;
        Ok(Certificates::named(&bootstrap))
    }

    /// Starts a generation; `alive` are the others.
    pub(super) fn start(
        &self,
        epoch: Epoch,
        document: &Document,
        alive: &[Generation],
    ) -> anyhow::Result<Generation> {
        if let (Ok(hot_restart), true) = (&self.hot_restart, alive.is_empty()) {
            hot_restart.clear();
        }
        let config = self.revisions().write(epoch, document)?;
        let path = self.log(epoch);
        let (log, end) =
            Log::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
        let binary = &self.binary;
        let fingerprint = Fingerprint::of(&binary.path).unwrap_or_default();
        let hot_restart = self.hot_restart.as_ref().ok();
        let args = binary.args(&self.args, self.node.as_ref(), &config, epoch, hot_restart);
        let process = Process::start(&binary.path, &args, end)?;
        let record = Record {
            epoch,
            id: process.id(),
            kind: binary.kind,
            binary: binary.path.clone(),
            fingerprint,
            config,
            started: generation::now(),
            ready: false,
        };
        tracing::info!(epoch, pid = record.id.pid, "the proxy runs");
        Ok(Generation::started(record, process, log, self.awaited.clone()))
    }

    /// The generations that another agent started and that live: one, or one and the next.
    pub(super) fn find_all(&self) -> Vec<Generation> {
        let written = found::load(self.folder()).into_iter();
        let mut generations: Vec<_> = written.filter_map(|record| self.find(record)).collect();
        for stray in strays::look(self.folder(), self.binary.kind) {
            // Of a proxy's children, which look like it until they are programs of their
            // own, it is told by its number.
            if generations.iter().all(|one| one.epoch() != stray.epoch) {
                generations.extend(self.find(stray));
            }
        }
        generations.sort_by_key(Generation::epoch);
        let newest = generations.last().map(Generation::epoch).unwrap_or_default();
        generations.retain(|one| {
            let belongs = newest - one.epoch() <= 1;
            if !belongs {
                tracing::warn!(epoch = one.epoch(), "an older proxy is told to end");
                one.signal(rustix::process::Signal::TERM);
            }
            belongs
        });
        generations
    }

    fn find(&self, record: Record) -> Option<Generation> {
        let log = self.log(record.epoch);
        let (epoch, pid) = (record.epoch, record.id.pid);
        let found = Generation::find(record, &log, self.awaited.clone());
        match &found {
            Some(_) => tracing::info!(epoch, pid, "a proxy of an earlier agent is adopted"),
            None => tracing::info!(epoch, pid, "a proxy of an earlier agent is gone"),
        }
        found
    }

    /// The configuration that a generation was started with, and why it is not the one that
    /// is to run, if so.
    pub(super) fn compare(&self, record: &Record) -> anyhow::Result<(Document, Option<String>)> {
        let runs = super::source::read(&record.config)?;
        let is_to_run = self.source.read();
        let differs = if Fingerprint::of(&self.binary.path) != Some(record.fingerprint) {
            Some(format!("{} is another one now", self.binary.path.display()))
        } else if is_to_run.is_ok_and(|document| document.text != runs.text) {
            Some(format!("{} is another one now", self.source.name()))
        } else {
            None
        };
        Ok((runs, differs))
    }

    /// Removes the files of generations that have left, but for the last two.
    pub(super) fn prune(&self, alive: &[Generation]) {
        let Some(newest) = alive.iter().map(Generation::epoch).max() else { return };
        let kept = |epoch| {
            (newest.saturating_sub(1)..=newest).contains(&epoch)
                || alive.iter().any(|generation| generation.epoch() == epoch)
        };
        self.revisions().prune(kept);
    }

    fn log(&self, epoch: Epoch) -> PathBuf {
        Log::path(self.folder(), epoch)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.args.config_dir
    }

    fn revisions(&self) -> Revisions {
        Revisions::new(self.folder())
    }
}

/// That the folder is the agent's own, for as long as this lives.
pub(super) fn lock(folder: &Path) -> anyhow::Result<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let path = folder.join("agent.lock");
    let mut options = std::fs::OpenOptions::new();
    options.create(true).truncate(false).write(true).mode(0o600);
    let file = options.open(&path).with_context(|| {
        format!("cannot open {}: may the proxy's user write to --config-dir?", path.display())
    })?;
    let locked = rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive);
    ensure!(
        locked != Err(rustix::io::Errno::WOULDBLOCK),
        "another mesh-agent runs with --config-dir {}; each needs a folder of its own",
        folder.display()
    );
    locked.with_context(|| path.display().to_string())?;
    Ok(file)
}
