//! Newer processes that ask for a handover.

use std::future::pending;
use std::io;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::debug;

use super::channel::Channel;
use super::frame::Received;
use super::message::{Hello, Message};
use super::place::{Claim, check_peer};

/// How long the first word may take.
const FIRST_WORD: Duration = Duration::from_secs(5);
/// When nothing can be accepted, how long until the next try.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A process that has said Hello.
pub(super) struct Asking {
    pub(super) channel: Channel,
    pub(super) hello: Hello,
}

/// All that ask, one after the other. Nobody is listened to when this is dropped.
pub(super) struct Asked {
    queue: mpsc::Receiver<Asking>,
    task: Option<JoinHandle<()>>,
}

impl Asked {
    /// Listens at this process's socket, if it has one.
    pub(super) fn by(claim: Option<&Claim>) -> io::Result<Self> {
        let (sender, queue) = mpsc::channel(1);
        let listener = claim.map(|claim| {
            let listener = claim.listener.try_clone()?;
            UnixListener::from_std(listener)
        });
        let task = listener.transpose()?.map(|listener| tokio::spawn(listen(listener, sender)));
        Ok(Self { queue, task })
    }

    /// The next one. Cancel-safe.
    pub(super) async fn next(&mut self) -> Asking {
        match self.queue.recv().await {
            Some(asking) => asking,
            None => pending().await,
        }
    }

    /// Listens to nobody any more.
    pub(super) fn close(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
        self.queue.close();
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.close();
    }
}

async fn listen(listener: UnixListener, sender: mpsc::Sender<Asking>) {
    loop {
        match listener.accept().await {
            Ok((io, _)) => {
                let sender = sender.clone();
                tokio::spawn(async move {
                    if let Some(asking) = first_word(io).await {
                        // Nobody waits for it when this process is about to end.
                        let _ = sender.send(asking).await;
                    }
                });
            }
            Err(error) => {
                debug!("hot restart: cannot accept: {error}");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Whoever looks whether somebody lives here says nothing, and is nobody.
async fn first_word(io: UnixStream) -> Option<Asking> {
    if let Err(error) = check_peer(&io) {
        tracing::warn!("hot restart: {error}: refused");
        return None;
    }
    let mut channel = Channel::new(io);
    match tokio::time::timeout(FIRST_WORD, channel.receive()).await {
        Ok(Ok(Received { message: Message::Hello(hello), .. })) => Some(Asking { channel, hello }),
        Ok(Ok(other)) => {
            debug!("hot restart: heard {} first", other.message.name());
            None
        }
        Ok(Err(error)) => {
            debug!("hot restart: {error}");
            None
        }
        Err(_) => None,
    }
}
