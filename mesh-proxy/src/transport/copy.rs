//! Bytes from one connection to the other, both ways at once.

use std::cell::{Cell, RefCell};
use std::future::pending;
use std::io;
use std::net::Shutdown;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::task::coop::consume_budget;
use tokio::time::{Instant, sleep_until};

use crate::stats::Counter;

/// How much is read at once.
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
/// gets what the other sends. Cancel-safe in that `flow` holds what went over.
pub(crate) async fn both(
    downstream: &TcpStream,
    upstream: &TcpStream,
    flow: &Flow<'_>,
    idle_timeout: Option<Duration>,
) -> End {
    let up = async {
        one_way(downstream, upstream, flow, &flow.received).await.map_err(|failure| match failure {
            Failure::Read(error) => End::Downstream(error),
            Failure::Write(error) => End::Upstream(error),
        })
    };
    let down = async {
        one_way(upstream, downstream, flow, &flow.sent).await.map_err(|failure| match failure {
            Failure::Read(error) => End::Upstream(error),
            Failure::Write(error) => End::Downstream(error),
        })
    };
    tokio::select! {
        ended = async { tokio::try_join!(up, down) } => ended.err().unwrap_or(End::Closed),
        () = idle(flow, idle_timeout) => End::Idle,
    }
}

/// Copies until `from` has no more to say, and tells `to`.
async fn one_way(
    from: &TcpStream,
    to: &TcpStream,
    flow: &Flow<'_>,
    count: &Count<'_>,
) -> Result<(), Failure> {
    loop {
        from.readable().await.map_err(Failure::Read)?;
        match step(from, to)? {
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

fn step(from: &TcpStream, to: &TcpStream) -> Result<Step, Failure> {
    BUFFER.with_borrow_mut(|buffer| {
        let read = match from.try_read(buffer) {
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

/// Sends what was read from downstream before the copying began.
pub(crate) async fn send_up(to: &TcpStream, bytes: &[u8], flow: &Flow<'_>) -> io::Result<()> {
    flow.add(&flow.received, bytes.len());
    write_all(to, bytes, flow).await
}

/// Sends what was read from upstream before the copying began.
pub(crate) async fn send_down(to: &TcpStream, bytes: &[u8], flow: &Flow<'_>) -> io::Result<()> {
    flow.add(&flow.sent, bytes.len());
    write_all(to, bytes, flow).await
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
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    fn counters() -> [Counter; 2] {
        let registry = crate::stats::Registry::new(1);
        ["received", "sent"].map(|name| registry.counter(name))
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (client, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn each_side_may_close_first() {
        for client_first in [true, false] {
            let ((client, downstream), (upstream, server)) = (pair().await, pair().await);
            let (mut first, mut last) =
                if client_first { (client, server) } else { (server, client) };
            let ends = async {
                first.write_all(b"question").await.unwrap();
                first.shutdown().await.unwrap();
                let mut heard = String::new();
                last.read_to_string(&mut heard).await.unwrap();
                assert_eq!(heard, "question");
                last.write_all(b"an answer").await.unwrap();
                last.shutdown().await.unwrap();
                first.read_to_string(&mut heard).await.unwrap();
                assert_eq!(heard, "questionan answer");
            };
            let all = counters();
            let flow = Flow::new(Some(&all[0]), Some(&all[1]));
            let (end, ()) = tokio::join!(both(&downstream, &upstream, &flow, None), ends);
            assert!(matches!(end, End::Closed), "{end:?}");
            let expected = if client_first { (8, 9) } else { (9, 8) };
            assert_eq!((flow.received(), flow.sent()), expected);
            assert_eq!((all[0].value(), all[1].value()), expected);
        }
    }

    #[tokio::test]
    async fn a_slow_reader_gets_every_byte_in_order() {
        const SIZE: usize = 8 * 1024 * 1024;
        let ((mut client, downstream), (upstream, mut server)) = (pair().await, pair().await);
        let sent: Vec<u8> = (0..SIZE).map(|n| (n / 7 % 251) as u8).collect();
        let write = async {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
        };
        let read = async {
            let mut got = Vec::new();
            // Small reads, so that the proxy meets a full socket.
            let mut some = [0; 10_007];
            loop {
                match server.read(&mut some).await.unwrap() {
                    0 => break,
                    count => got.extend_from_slice(&some[..count]),
                }
            }
            server.shutdown().await.unwrap();
            got
        };
        let all = counters();
        let flow = Flow::new(Some(&all[0]), Some(&all[1]));
        let (end, (), got) = tokio::join!(both(&downstream, &upstream, &flow, None), write, read);
        assert!(matches!(end, End::Closed), "{end:?}");
        assert!(got == sent);
        assert_eq!(flow.received(), SIZE as u64);
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_it() {
        let ((_client, downstream), (upstream, _server)) = (pair().await, pair().await);
        let timeout = Some(Duration::from_secs(3600));
        let all = counters();
        let flow = Flow::new(Some(&all[0]), Some(&all[1]));
        let end = both(&downstream, &upstream, &flow, timeout).await;
        assert!(matches!(end, End::Idle), "{end:?}");
    }

    #[tokio::test]
    async fn a_reset_ends_both() {
        let ((client, downstream), (upstream, _server)) = (pair().await, pair().await);
        SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        let all = counters();
        let flow = Flow::new(Some(&all[0]), Some(&all[1]));
        let end = both(&downstream, &upstream, &flow, None).await;
        assert!(matches!(end, End::Downstream(_)), "{end:?}");
    }
}
