//! Requests without a pause, on connections of their own and on one that is kept.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u64, Vec<String>)>>,
}

impl Load {
    pub(crate) fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = [false, true].map(|keep| {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || run(&stop, keep))
        });
        Self { stop, clients: clients.into() }
    }

    /// How many requests there were, and what was wrong with those that failed.
    pub(crate) fn stop(self) -> (u64, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = (0, Vec::new());
        for client in self.clients {
            let (requests, failures) = client.join().unwrap();
            sum.0 += requests;
            sum.1.extend(failures);
        }
        sum
    }
}

fn run(stop: &AtomicBool, keep: bool) -> (u64, Vec<String>) {
    let (mut requests, mut failures) = (0, Vec::new());
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        requests += 1;
        match request(&mut kept, keep) {
            Ok(()) => {}
            Err(error) => failures.push(format!("{error}, kept: {keep}")),
        }
        // Not the proxy's limit is looked for.
        std::thread::sleep(Duration::from_millis(1));
    }
    (requests, failures)
}

fn request(kept: &mut Option<TcpStream>, keep: bool) -> io::Result<()> {
    let mut stream = match kept.take() {
        Some(stream) => stream,
        None => TcpStream::connect("127.0.0.1:8000")?,
    };
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
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
