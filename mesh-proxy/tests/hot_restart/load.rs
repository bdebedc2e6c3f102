//! Clients that go on while proxies come and go, and remember what went wrong.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{JoinHandle, spawn};

use mesh_testkit::eventually;

use crate::site::connect;

/// Sends requests from several threads until it is ended.
pub(crate) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    answered: AtomicU64,
    refused: AtomicU64,
    failures: Mutex<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests that were answered with 200.
    pub(crate) answered: u64,
    /// Connections that nobody took.
    pub(crate) refused: u64,
    /// Whatever else went wrong.
    pub(crate) failures: Vec<String>,
}

impl Load {
    /// Half of the clients connect anew for each request, the others keep their connection
    /// until they are told not to.
    pub(crate) fn start(address: SocketAddr, clients: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let threads = (0..clients).map(|client| {
            let shared = Arc::clone(&shared);
            spawn(move || shared.send(address, client % 2 == 0))
        });
        Self { threads: threads.collect(), shared }
    }

    /// Waits until so many more were answered.
    pub(crate) fn until_more(&self, more: u64) {
        let enough = self.answered() + more;
        eventually("requests to be answered", || (self.answered() >= enough).then_some(()));
    }

    fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    pub(crate) fn end(self) -> Outcome {
        self.shared.ended.store(true, Ordering::Relaxed);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
        Outcome {
            answered: self.shared.answered.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            failures: std::mem::take(&mut self.shared.failures.lock().unwrap()),
        }
    }
}

impl Outcome {
    #[track_caller]
    pub(crate) fn assert_nothing_lost(&self) {
        assert!(self.refused == 0 && self.failures.is_empty(), "{self:?}");
    }
}

impl Shared {
    fn send(&self, address: SocketAddr, keeps: bool) {
        let mut kept: Option<TcpStream> = None;
        while !self.ended.load(Ordering::Relaxed) {
            let io = match kept.take() {
                Some(io) => Ok(io),
                None => connect(address),
            };
            match io.and_then(|mut io| Ok((request(&mut io, keeps)?, io))) {
                Ok((goes_on, io)) => {
                    self.answered.fetch_add(1, Ordering::Relaxed);
                    kept = goes_on.then_some(io);
                }
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                    self.refused.fetch_add(1, Ordering::Relaxed);
                }
                Err(error) => self.failures.lock().unwrap().push(error.to_string()),
            }
        }
    }
}

/// One request; gives whether the connection may be used again.
fn request(io: &mut TcpStream, keeps: bool) -> std::io::Result<bool> {
    let wish = if keeps { "keep-alive" } else { "close" };
    write!(io, "GET / HTTP/1.1\r\nhost: a\r\nconnection: {wish}\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(at) = answer.windows(4).position(|end| end == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or_default();
            if !head.starts_with("http/1.1 200") {
                return Err(std::io::Error::other(head));
            }
            if answer.len() >= at + 4 + length {
                return Ok(keeps && !head.contains("connection: close"));
            }
        }
        match io.read(&mut buffer)? {
            0 => {
                let what = format!("cut after {} bytes", answer.len());
                return Err(std::io::Error::other(what));
            }
            read => answer.extend_from_slice(&buffer[..read]),
        }
    }
}
