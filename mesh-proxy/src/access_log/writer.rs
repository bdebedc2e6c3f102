//! Lines on their way to files: formatted by the workers, written by one thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use super::filter::Filter;
use super::line;
use crate::config::{self, LogTarget};
use crate::formatter::Record;
use crate::stats::{Counter, Registry};

/// How many lines may wait for the writer, and how many bytes they may have: a client decides
/// how long its headers are.
const WAITING: usize = 4096;
const WAITING_BYTES: usize = 4 << 20;

/// After a first line the writer waits this long for more: one write for many lines, and
/// no thread woken for each.
const GATHER: Duration = Duration::from_millis(20);

/// How long [`Writers::flush`] waits at most.
const FLUSH: Duration = Duration::from_secs(1);

/// All targets of access logs, and the thread that writes to them.
pub(crate) struct Writers {
    state: Mutex<State>,
    waiting: Waiting,
    stats: Stats,
}

#[derive(Default)]
struct State {
    /// What is open, for as long as a log holds it.
    targets: HashMap<LogTarget, Weak<Sink>>,
    lines: Option<SyncSender<Message>>,
}

/// One access log. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Log {
    config: Arc<config::AccessLog>,
    filter: Option<Arc<Filter>>,
    sink: Arc<Sink>,
    lines: SyncSender<Message>,
    waiting: Waiting,
    stats: Stats,
}

/// The bytes of all lines that are not written yet.
#[derive(Clone, Default)]
struct Waiting(Arc<AtomicUsize>);

/// Envoy's `filesystem.*`, and what was dropped because the writer was behind.
#[derive(Clone)]
struct Stats {
    buffered: Counter,
    completed: Counter,
    failed: Counter,
    dropped: Counter,
}

enum Sink {
    Stdout,
    Stderr,
    File(File),
}

enum Message {
    Line(Arc<Sink>, Vec<u8>),
    Flush(SyncSender<()>),
}

impl Writers {
    /// No log yet; the thread starts with the first one.
    pub(crate) fn new(registry: &Registry) -> Self {
        let counter = |name| registry.counter(&format!("filesystem.{name}"));
        let stats = Stats {
            buffered: counter("write_buffered"),
            completed: counter("write_completed"),
            failed: counter("write_failed"),
            dropped: counter("write_dropped"),
        };
        Self { state: Mutex::default(), waiting: Waiting::default(), stats }
    }

    /// Opens the log's file (to append, made when it is not there), which logs with the
    /// same target share.
    pub(crate) fn open(&self, config: &Arc<config::AccessLog>) -> io::Result<Log> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.targets.retain(|_, sink| sink.strong_count() > 0);
        let known = state.targets.get(&config.target).and_then(Weak::upgrade);
        let sink = match known {
            Some(sink) => sink,
            None => Arc::new(Sink::open(&config.target)?),
        };
        state.targets.insert(config.target.clone(), Arc::downgrade(&sink));
        let lines = match &state.lines {
            Some(lines) => lines.clone(),
            None => state.lines.insert(self.start()?).clone(),
        };
        let filter = config.filter.as_ref().map(|filter| Arc::new(Filter::new(filter)));
        let (waiting, stats) = (self.waiting.clone(), self.stats.clone());
        Ok(Log { config: Arc::clone(config), filter, sink, lines, waiting, stats })
    }

    /// Waits (a second at most) until what was logged so far is written.
    pub(crate) fn flush(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = state.lines.clone() else { return };
        drop(state);
        let (done, written) = sync_channel(1);
        if lines.try_send(Message::Flush(done)).is_ok() {
            let _ = written.recv_timeout(FLUSH);
        }
    }

    fn start(&self) -> io::Result<SyncSender<Message>> {
        let (sender, receiver) = sync_channel(WAITING);
        let (waiting, stats) = (self.waiting.clone(), self.stats.clone());
        let thread = thread::Builder::new().name("access_log".to_owned());
        thread.spawn(move || write_lines(&receiver, &waiting, &stats))?;
        Ok(sender)
    }
}

impl Log {
    /// Formats a line, if there is to be one, and leaves it to the writer. Never waits: when the
    /// writer is too far behind, the line is dropped and counted.
    pub(crate) fn write(&self, record: &Record<'_>) {
        if self.filter.as_ref().is_some_and(|filter| !filter.takes(record)) {
            return;
        }
        thread_local!(static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        let line = LINE.with_borrow_mut(|text| {
            text.clear();
            line::line(&self.config, record, text);
            text.as_slice().to_vec()
        });
        let size = line.len();
        if !self.waiting.has_room(size) {
            return self.stats.dropped.inc();
        }
        match self.lines.try_send(Message::Line(Arc::clone(&self.sink), line)) {
            Ok(()) => self.stats.buffered.inc(),
            Err(_) => {
                self.waiting.leave(size);
                self.stats.dropped.inc();
            }
        }
    }
}

impl Waiting {
    /// Whether so many more bytes may wait; from then on they do.
    fn has_room(&self, size: usize) -> bool {
        let has_room = self.0.fetch_add(size, Relaxed).saturating_add(size) <= WAITING_BYTES;
        if !has_room {
            self.leave(size);
        }
        has_room
    }

    fn leave(&self, size: usize) {
        self.0.fetch_sub(size, Relaxed);
    }
}

impl Sink {
    fn open(target: &LogTarget) -> io::Result<Self> {
        Ok(match target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::Stderr => Self::Stderr,
            LogTarget::File(path) => {
                let file = OpenOptions::new().append(true).create(true).open(path);
                let named = |error: io::Error| {
                    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
                };
                Self::File(file.map_err(named)?)
            }
        })
    }

    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes).and_then(|()| stdout.flush())
            }
            Self::Stderr => io::stderr().lock().write_all(bytes),
            Self::File(file) => (&*file).write_all(bytes),
        }
    }
}

/// Writes what comes until no log is left.
fn write_lines(messages: &Receiver<Message>, waiting: &Waiting, stats: &Stats) {
    while let Ok(first) = messages.recv() {
        if matches!(first, Message::Line(..)) {
            thread::sleep(GATHER);
        }
        let mut gathered: Vec<(Arc<Sink>, Vec<u8>)> = Vec::new();
        let mut flushes = Vec::new();
        for message in std::iter::once(first).chain(messages.try_iter().take(WAITING)) {
            match message {
                Message::Line(sink, line) => gather(&mut gathered, sink, line),
                Message::Flush(done) => flushes.push(done),
            }
        }
        for (sink, lines) in gathered {
            match sink.write(&lines) {
                Ok(()) => stats.completed.inc(),
                Err(_) => stats.failed.inc(),
            }
            waiting.leave(lines.len());
        }
        for done in flushes {
            let _ = done.send(());
        }
    }
}

fn gather(gathered: &mut Vec<(Arc<Sink>, Vec<u8>)>, sink: Arc<Sink>, line: Vec<u8>) {
    match gathered.iter_mut().find(|(other, _)| Arc::ptr_eq(other, &sink)) {
        Some((_, lines)) => lines.extend_from_slice(&line),
        None => gathered.push((sink, line)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::config::{AccessLog, Format, FormatPart, LogFormat, Operator};

    fn log_to(path: &std::path::Path) -> Arc<AccessLog> {
        Arc::new(AccessLog {
            target: LogTarget::File(path.to_owned()),
            format: LogFormat::Text(Format(vec![
                FormatPart::Operator(Operator::BytesSent, None),
                FormatPart::Literal("\n".to_owned()),
            ])),
            omit_empty: false,
            filter: None,
        })
    }

    #[test]
    fn lines_arrive_in_order_and_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let registry = Registry::new(1);
        let writers = Writers::new(&registry);
        let logs = [(); 2].map(|()| writers.open(&log_to(&path)).unwrap());
        let address = "127.0.0.1:1".parse().unwrap();
        let mut record = Record::new(SystemTime::now(), address, address);
        for sent in 0..1000 {
            record.bytes_sent = sent;
            logs[sent as usize % 2].write(&record);
        }
        let expected: String = (0..1000).map(|sent| format!("{sent}\n")).collect();
        mesh_testkit::eventually("every line", || {
            writers.flush();
            (std::fs::read_to_string(&path).unwrap() == expected).then_some(())
        });
        assert_eq!(registry.counter("filesystem.write_buffered").value(), 1000);
        assert_eq!(registry.counter("filesystem.write_dropped").value(), 0);
    }

    #[test]
    fn no_more_bytes_wait_than_may() {
        let waiting = Waiting::default();
        assert!(waiting.has_room(WAITING_BYTES - 1) && waiting.has_room(1));
        assert!(!waiting.has_room(1) && waiting.has_room(0));
        waiting.leave(1);
        assert!(!waiting.has_room(2) && waiting.has_room(1));
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let writers = Writers::new(&Registry::new(1));
        let error = writers.open(&log_to("/nowhere/at/all.log".as_ref())).err().unwrap();
        assert!(error.to_string().contains("/nowhere/at/all.log"), "{error}");
    }
}
