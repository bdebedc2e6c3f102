//! The other process.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::channel::{Channel, ChannelError};
use super::frame::Received;
use super::message::Message;

/// How long a message may take to be written: what is sent fits into the socket's buffer.
const WRITTEN: Duration = Duration::from_secs(5);
/// How long a process whose connection ended may take to be gone.
const DEATH: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };

/// A connection to the other process, and the means to tell whether that lives.
pub(super) struct Link {
    channel: Channel,
    /// For messages.
    pub(super) pid: u32,
    process: Watched,
}

enum Watched {
    /// Readable when the process is gone, and with it everything that it had open.
    Process(Arc<OwnedFd>),
    /// It was gone already.
    Gone,
    /// The system does not tell: the end of the connection is that of the process.
    Unknown,
}

impl Link {
    pub(super) fn new(channel: Channel, pid: u32) -> Self {
        Self { channel, pid, process: watch(pid) }
    }

    /// Names the process, when it was not known before.
    pub(super) fn identify(&mut self, pid: u32) {
        self.pid = pid;
        self.process = watch(pid);
    }

    /// Sends a message; an error shows when the next one is received.
    pub(super) async fn send(&self, message: &Message, descriptors: &[OwnedFd]) {
        let sent = tokio::time::timeout(WRITTEN, self.channel.send(message, descriptors)).await;
        tracing::debug!(
            pid = self.pid,
            is_sent = matches!(sent, Ok(Ok(()))),
            "says {}",
            message.name()
        );
    }

    /// The next message. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Received, ChannelError> {
        let received = self.channel.receive().await?;
        tracing::debug!(pid = self.pid, "hears {}", received.message.name());
        Ok(received)
    }

    /// Whether the process is dead, which it may just be about to be.
    pub(super) async fn is_dead(&self) -> bool {
        match &self.process {
            Watched::Process(process) => {
                let process = Arc::clone(process);
                tokio::task::spawn_blocking(move || is_gone(&process)).await.unwrap_or(true)
            }
            Watched::Gone | Watched::Unknown => true,
        }
    }
}

fn watch(pid: u32) -> Watched {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return Watched::Unknown;
    };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(process) => Watched::Process(Arc::new(process)),
        Err(rustix::io::Errno::SRCH) => Watched::Gone,
        Err(_) => Watched::Unknown,
    }
}

fn is_gone(process: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    poll(&mut watched, Some(&DEATH)).is_ok_and(|ready| ready == 1)
}
