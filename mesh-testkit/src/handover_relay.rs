//! A relay between two processes of a hot restart, which stops before each message.

use std::collections::VecDeque;
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::DEADLINE;

/// More than the protocol allows for one message.
const DESCRIPTORS: usize = 128;
/// The bytes of a frame before its message: a length, and the protocol's name.
const LENGTH: usize = 4;
const HEAD: usize = LENGTH + 17;

/// The messages, by the number of their field.
const NAMES: [&str; 12] = [
    "?",
    "Hello",
    "Refused",
    "Wait",
    "Welcome",
    "Taken",
    "Sockets",
    "Counts",
    "Ready",
    "Withdrawn",
    "Ending",
    "Left",
];

/// Stands where the older process's socket was, so that the newer one connects here, and
/// passes each message on when the test says so, with the descriptors that belong to it.
/// Dropped, it ends the connection and puts the socket back.
pub struct HandoverRelay {
    held: Mutex<Receiver<Held>>,
    listener: UnixListener,
    streams: Arc<Mutex<Vec<UnixStream>>>,
    path: PathBuf,
    behind: PathBuf,
}

/// A message that waits to be passed on. Dropped, it never is.
pub struct Held {
    /// Whether the newer process sent it.
    pub from_newer: bool,
    /// The message's name.
    pub name: &'static str,
    pass: SyncSender<()>,
    passed: Receiver<()>,
}

impl Held {
    /// Passes it on; when this returns, the other process has it in its socket.
    pub fn pass(self) {
        if self.pass.send(()).is_ok() {
            let _ = self.passed.recv();
        }
    }
}

impl HandoverRelay {
    /// Takes the place of the socket at `path`, where a process listens.
    ///
    /// # Panics
    /// When nothing is there.
    #[must_use]
    pub fn at(path: &Path) -> Self {
        let mut behind = path.as_os_str().to_owned();
        behind.push(".behind");
        let behind = PathBuf::from(behind);
        std::fs::rename(path, &behind).unwrap();
        let listener = UnixListener::bind(path).unwrap();
        let (sender, held) = channel();
        let streams = Arc::<Mutex<Vec<UnixStream>>>::default();
        let (accepting, kept) = (listener.try_clone().unwrap(), Arc::clone(&streams));
        let places = (path.to_owned(), behind.clone());
        thread::spawn(move || {
            // Ends when the relay is dropped.
            for newer in accepting.incoming().map_while(Result::ok) {
                let Ok(older) = UnixStream::connect(&places.1) else { continue };
                let ends = [&newer, &older].map(|end| end.try_clone().unwrap());
                kept.lock().unwrap().extend(ends);
                for from_newer in [true, false] {
                    let (newer, older) = (newer.try_clone().unwrap(), older.try_clone().unwrap());
                    let (sender, places) = (sender.clone(), places.clone());
                    thread::spawn(move || {
                        let (from, to) =
                            if from_newer { (&newer, &older) } else { (&older, &newer) };
                        relay(from, to, from_newer, &sender);
                        if !from_newer {
                            leave_with(&places.0, &places.1);
                        }
                        for end in [from, to] {
                            let _ = end.shutdown(Shutdown::Both);
                        }
                    });
                }
            }
        });
        Self { held: Mutex::new(held), listener, streams, path: path.to_owned(), behind }
    }

    /// The next message on its way, in either direction; `None` after so long without one.
    pub fn next(&self, patience: std::time::Duration) -> Option<Held> {
        self.held.lock().unwrap().recv_timeout(patience).ok()
    }

    /// The next message.
    ///
    /// # Panics
    /// After [`DEADLINE`].
    pub fn expect(&self) -> Held {
        self.next(DEADLINE).expect("a message of the handover")
    }

    /// Passes everything on, from here on.
    pub fn open(self) {
        thread::spawn(move || {
            while let Some(held) = self.next(DEADLINE * 4) {
                held.pass();
            }
        });
    }
}

impl Drop for HandoverRelay {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        // As it was, when somebody lives there.
        let _ = match UnixStream::connect(&self.behind) {
            Ok(_) => std::fs::rename(&self.behind, &self.path),
            Err(_) => std::fs::remove_file(&self.behind),
        };
    }
}

/// When the process behind is gone its socket is to be gone, too.
fn leave_with(path: &Path, behind: &Path) {
    let start = std::time::Instant::now();
    while start.elapsed() < std::time::Duration::from_secs(1) {
        match UnixStream::connect(behind) {
            Ok(_) => thread::sleep(std::time::Duration::from_millis(5)),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                let _ = std::fs::remove_file(path);
                return;
            }
            // The relay is gone, and the socket back in its place.
            Err(_) => return,
        }
    }
}

/// Takes one frame after the other, and passes each on when told to.
fn relay(
    from: &UnixStream,
    to: &UnixStream,
    from_newer: bool,
    sender: &std::sync::mpsc::Sender<Held>,
) {
    let (mut bytes, mut descriptors) = (Vec::new(), VecDeque::new());
    loop {
        while let Some(frame) = frame(&mut bytes) {
            let kind = frame.get(HEAD).map_or(0, |tag| usize::from(tag >> 3));
            let name = NAMES.get(kind).copied().unwrap_or("?");
            let (pass, told) = sync_channel(1);
            let (done, passed) = sync_channel(1);
            if sender.send(Held { from_newer, name, pass, passed }).is_err() || told.recv().is_err()
            {
                return;
            }
            let beside: Vec<OwnedFd> = descriptors.drain(..).collect();
            if !send(to, &frame, &beside) {
                return;
            }
            let _ = done.send(());
        }
        if !receive(from, &mut bytes, &mut descriptors) {
            return;
        }
    }
}

fn frame(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = u32::from_be_bytes(*bytes.first_chunk::<LENGTH>()?) as usize;
    (bytes.len() >= LENGTH + length).then(|| bytes.drain(..LENGTH + length).collect())
}

fn send(to: &UnixStream, frame: &[u8], descriptors: &[OwnedFd]) -> bool {
    let mut sent = 0;
    while sent < frame.len() {
        let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut beside = SendAncillaryBuffer::new(&mut space);
        let borrowed: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        if sent == 0 && !borrowed.is_empty() {
            assert!(beside.push(SendAncillaryMessage::ScmRights(&borrowed)));
        }
        let parts = [IoSlice::new(&frame[sent..])];
        match rustix::net::sendmsg(to, &parts, &mut beside, SendFlags::NOSIGNAL) {
            Ok(bytes) => sent += bytes,
            Err(_) => return false,
        }
    }
    true
}

fn receive(from: &UnixStream, bytes: &mut Vec<u8>, descriptors: &mut VecDeque<OwnedFd>) -> bool {
    let mut buffer = [0; 64 * 1024];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let mut parts = [IoSliceMut::new(&mut buffer)];
    let received = rustix::net::recvmsg(from, &mut parts, &mut beside, RecvFlags::CMSG_CLOEXEC);
    for message in beside.drain() {
        if let RecvAncillaryMessage::ScmRights(came) = message {
            descriptors.extend(came);
        }
    }
    match received {
        Ok(received) if received.bytes > 0 => {
            bytes.extend_from_slice(&buffer[..received.bytes]);
            true
        }
        _ => false,
    }
}
