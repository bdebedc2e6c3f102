//! Requests without a pause, on connections of their own and on one that is kept.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use mesh_testkit::{DEADLINE, eventually};

/// Runs until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    requests: Arc<AtomicU64>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub(crate) fn start() -> Self {
        let (stop, requests) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let clients = [false, true].map(|keep| {
            let (stop, requests) = (Arc::clone(&stop), Arc::clone(&requests));
            std::thread::spawn(move || run(&stop, &requests, keep))
        });
        Self { stop, requests, clients: clients.into() }
    }

    /// Waits until there have been so many more.
    pub(crate) fn until_more(&self, more: u64) {
        let enough = self.requests.load(Ordering::Relaxed) + more;
        eventually("more requests", || {
            (self.requests.load(Ordering::Relaxed) >= enough).then_some(())
        });
    }

    /// How many requests there were, and what was wrong with those that failed.
    pub(crate) fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let clients = self.clients.into_iter();
        let failures = clients.flat_map(|client| client.join().unwrap()).collect();
        (self.requests.load(Ordering::Relaxed), failures)
    }
}

fn run(stop: &AtomicBool, requests: &AtomicU64, keep: bool) -> Vec<String> {
    let mut failures = Vec::new();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        requests.fetch_add(1, Ordering::Relaxed);
        match request(&mut kept, keep) {
            Ok(()) => {}
            Err(error) => failures.push(format!("{error}, kept: {keep}")),
        }
        // Not the proxy's limit is looked for.
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    failures
}

fn request(kept: &mut Option<TcpStream>, keep: bool) -> io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect("127.0.0.1:8000")?,
    };
    stream.set_read_timeout(Some(DEADLINE))?;
    let close = if keep { "" } else { "connection: close\r\n" };
    stream.write_all(format!("GET / HTTP/1.1\r\nhost: a\r\n{close}\r\n").as_bytes())?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\none") {
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes)?;
        if read == 0 {
            let answer = String::from_utf8_lossy(&answer).into_owned();
            return Err(io::Error::other(format!("cut after {answer:?}")));
        }
        answer.extend_from_slice(&bytes[..read]);
    }
    let head = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if keep && !head.contains("connection: close") {
        *kept = Some(stream);
    }
    Ok(())
}
