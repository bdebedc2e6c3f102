//! A generation of the proxy: its process, its log, and what it was made from.

use std::io;
use std::process::ExitStatus;
use std::time::SystemTime;

use rustix::process::Signal;

use super::binary::Kind;
use super::found::Record;
use super::log::Log;
use super::orphans::Awaited;
use super::process::Process;
use super::supervisor::{Epoch, Exit};

/// mesh-proxy's exit code when the other process speaks another version of the protocol.
const CANNOT_HAND_OVER: i32 = 3;
/// Envoy's words when a process that died in the middle of it keeps it from handing over.
const ENVOY_CANNOT: &str = "previous envoy process is still initializing";

/// One that lives.
pub(super) struct Generation {
    pub(super) record: Record,
    /// Another agent started it.
    pub(super) adopted: bool,
    process: Process,
    log: Option<Log>,
    awaited: Awaited,
}

/// How one ended, and its last words.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) exit: Exit,
    pub(super) why: String,
}

impl Generation {
    /// One that was just started.
    pub(super) fn started(record: Record, process: Process, log: Log, awaited: Awaited) -> Self {
        awaited.add(process.id().pid);
        Self { record, adopted: false, process, log: Some(log), awaited }
    }

    /// One that was written down, if it lives.
    pub(super) fn find(record: Record, log: &std::path::Path, awaited: Awaited) -> Option<Self> {
        let process = Process::adopt(record.id)?;
        let log = Log::find(log)
            .inspect_err(|error| tracing::warn!(%error, "the log of the proxy is not followed"));
        Some(Self { record, adopted: true, process, log: log.ok(), awaited })
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.record.epoch
    }

    /// The program's file, though another may have its name by now.
    pub(super) fn program(&self) -> std::path::PathBuf {
        self.process.program()
    }

    pub(super) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Waits for its end. Cancel-safe.
    pub(super) async fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.process.ended().await
    }

    /// What its end means.
    pub(super) fn end(self, status: io::Result<Option<ExitStatus>>) -> End {
        self.awaited.remove(self.record.id.pid);
        let words = self.log.as_ref().map(Log::last_words).unwrap_or_default();
        let (exit, how) = match status {
            Ok(Some(status)) => (self.meaning(status, &words), status.to_string()),
            // Nobody but its parent is told; there is nothing to hold against it.
            Ok(None) => (Exit::Good, "nobody knows how".to_owned()),
            Err(error) => (Exit::Bad, format!("it cannot be waited for: {error}")),
        };
        let why = match exit {
            Exit::Good => how,
            _ if words.is_empty() => format!("{how}, without a word"),
            _ => format!("{how}; its last words: {words}"),
        };
        End { exit, why }
    }

    fn meaning(&self, status: ExitStatus, words: &str) -> Exit {
        let cannot = match self.record.kind {
            Kind::Mesh => status.code() == Some(CANNOT_HAND_OVER),
            Kind::Envoy => words.contains(ENVOY_CANNOT),
        };
        match status.success() {
            true => Exit::Good,
            false if cannot => Exit::CannotHandOver,
            false => Exit::Bad,
        }
    }
}

/// Now, as it is written down.
pub(super) fn now() -> SystemTime {
    SystemTime::now()
}
