//! Bytes from one connection to the other, both ways at once.

mod polled;

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use super::Io;
use crate::config::BufferLimit;
use crate::stats::Counter;

/// How much is read at once, at most.
const CHUNK: usize = 64 * 1024;

thread_local! {
    // One for all connections of a worker: what is read is written before the next read,
    // so that a connection on which nothing happens holds no buffer.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; CHUNK]);
}

/// What went over a connection.
pub(crate) struct Flow<'a> {
    received: Count<'a>,
    sent: Count<'a>,
    last: Cell<Instant>,
}

/// The bytes of one direction, of this connection and, if somebody counts them, of all.
struct Count<'a> {
    bytes: Cell<u64>,
    all: Option<&'a Counter>,
}

/// How it ended.
#[derive(Debug)]
pub(crate) enum End {
    /// Both sides have said all.
    Closed,
    /// Nothing was said for too long.
    Idle,
    Downstream(io::Error),
    Upstream(io::Error),
}

/// A failed read or write.
enum Failure {
    Read(io::Error),
    Write(io::Error),
}

impl<'a> Flow<'a> {
    /// Nothing yet. What goes over is added to these counters too.
    pub(crate) fn new(all_received: Option<&'a Counter>, all_sent: Option<&'a Counter>) -> Self {
        let count = |all| Count { bytes: Cell::new(0), all };
        let last = Cell::new(Instant::now());
        Self { received: count(all_received), sent: count(all_sent), last }
    }

    /// Bytes from downstream to upstream.
    pub(crate) fn received(&self) -> u64 {
        self.received.bytes.get()
    }

    /// Bytes from upstream to downstream.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.bytes.get()
    }

    fn add(&self, count: &Count<'_>, bytes: usize) {
        count.bytes.set(count.bytes.get() + bytes as u64);
        if let Some(all) = count.all {
            all.add(bytes as u64);
        }
        self.last.set(Instant::now());
    }
}

/// Copies until both sides have closed their directions; a side that closed its own still
/// gets what the other sends. What is held is within the `limits` of both. Cancel-safe in that `flow` holds what went over.
pub(crate) async fn both(
    downstream: &mut Io,
    upstream: &mut Io,
    flow: &Flow<'_>,
    limits: [BufferLimit; 2],
    idle_timeout: Option<Duration>,
) -> End {
    // One buffer is what is read of one side and what the other side has to take.
    let chunk = limits.iter().fold(CHUNK, |chunk, limit| limit.within(chunk));
    let copying = async {
        match (downstream, upstream) {
            (Io::Plain(downstream), Io::Plain(upstream)) => {
                plain(downstream, upstream, flow, chunk).await
            }
            (downstream, upstream) => polled::both(downstream, upstream, flow, chunk).await,
        }
    };
    tokio::select! {
        ended = copying => ended.err().unwrap_or(End::Closed),
        () = idle(flow, idle_timeout) => End::Idle,
    }
}

/// What the socket holds goes to the other socket as it is: nothing is in between.
async fn plain(
    downstream: &TcpStream,
    upstream: &TcpStream,
    flow: &Flow<'_>,
    chunk: usize,
) -> Result<(), End> {
    let up = one_way(downstream, upstream, flow, &flow.received, chunk);
    let up = async { up.await.map_err(Failure::up) };
    let down = one_way(upstream, downstream, flow, &flow.sent, chunk);
    let down = async { down.await.map_err(Failure::down) };
    tokio::try_join!(up, down).map(|_| ())
}

impl Failure {
    /// Of the direction from downstream to upstream.
    fn up(self) -> End {
        match self {
            Self::Read(error) => End::Downstream(error),
            Self::Write(error) => End::Upstream(error),
        }
    }

    /// Of the direction from upstream to downstream.
    fn down(self) -> End {
        match self {
            Self::Read(error) => End::Upstream(error),
            Self::Write(error) => End::Downstream(error),
        }
    }
}

/// Copies until `from` has no more to say, and tells `to`.
async fn one_way(
    from: &TcpStream,
    to: &TcpStream,
    flow: &Flow<'_>,
    count: &Count<'_>,
    chunk: usize,
) -> Result<(), Failure> {
    loop {
        from.readable().await.map_err(Failure::Read)?;
        match step(from, to, chunk)? {
            Step::Nothing => {}
            Step::Moved(bytes) => flow.add(count, bytes),
            Step::Ended => {
                // A connection that is gone already needs not be told.
                let _ = SockRef::from(to).shutdown(Shutdown::Write);
                return Ok(());
            }
            Step::Left(bytes, rest) => {
                flow.add(count, bytes);
                write_all(to, &rest, flow).await.map_err(Failure::Write)?;
            }
        }
        // A fast connection lets the others of its worker come to their turn.
        consume_budget().await;
    }
}

enum Step {
    Nothing,
    /// So many bytes were read and written.
    Moved(usize),
    /// So many were read, of which these could not be written yet.
    Left(usize, Vec<u8>),
    Ended,
}

fn step(from: &TcpStream, to: &TcpStream, chunk: usize) -> Result<Step, Failure> {
    BUFFER.with_borrow_mut(|buffer| {
        let chunk = chunk.min(buffer.len());
        let read = match from.try_read(&mut buffer[..chunk]) {
            Ok(0) => return Ok(Step::Ended),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Step::Nothing),
            Err(error) => return Err(Failure::Read(error)),
        };
        let bytes = &buffer[..read];
        let written = match to.try_write(bytes) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(Failure::Write(error)),
        };
        let rest = &bytes[written..];
        Ok(if rest.is_empty() { Step::Moved(read) } else { Step::Left(read, rest.to_vec()) })
    })
}

async fn write_all(to: &TcpStream, mut bytes: &[u8], flow: &Flow<'_>) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => {
                bytes = &bytes[written..];
                flow.last.set(Instant::now());
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits until nothing has moved for `timeout`.
async fn idle(flow: &Flow<'_>, timeout: Option<Duration>) {
    let Some(timeout) = timeout else { return pending().await };
    loop {
        let last = flow.last.get();
        // A sum that does not fit the clock is never.
        let Some(deadline) = last.checked_add(timeout) else { return pending().await };
        sleep_until(deadline).await;
        if flow.last.get() == last {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
