//! Messages and descriptors over a Unix socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use tokio::io::Interest;
use tokio::net::UnixStream;

use super::frame::{self, Decoder, FrameError, MAX_DESCRIPTORS, Received};
use super::message::Message;

/// Why a channel is over.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChannelError {
    #[error("the other process closed the connection")]
    Closed,
    #[error("the other process closed the connection in the middle of a message")]
    Cut,
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One end of the connection between two processes.
pub(super) struct Channel {
    io: UnixStream,
    decoder: Decoder,
}

impl Channel {
    pub(super) fn new(io: UnixStream) -> Self {
        Self { io, decoder: Decoder::default() }
    }

    /// Sends a message with the descriptors that it lists. Not cancel-safe.
    pub(super) async fn send(
        &self,
        message: &Message,
        descriptors: &[OwnedFd],
    ) -> Result<(), ChannelError> {
        let frame = frame::encode(message);
        let mut sent = 0;
        while let Some(rest) = frame.get(sent..).filter(|rest| !rest.is_empty()) {
            // With the first byte, and no other.
            let beside = if sent == 0 { descriptors } else { &[] };
            let once = || send(&self.io, rest, beside);
            sent += self.io.async_io(Interest::WRITABLE, once).await?;
        }
        Ok(())
    }

    /// The next message. Cancel-safe.
    pub(super) async fn receive(&mut self) -> Result<Received, ChannelError> {
        loop {
            if let Some(received) = self.decoder.next()? {
                return Ok(received);
            }
            let decoder = &mut self.decoder;
            let once = || receive(&self.io, decoder);
            if self.io.async_io(Interest::READABLE, once).await? == 0 {
                let is_cut = self.decoder.is_amid_frame();
                return Err(if is_cut { ChannelError::Cut } else { ChannelError::Closed });
            }
        }
    }
}

fn send(io: &UnixStream, bytes: &[u8], descriptors: &[OwnedFd]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    if !descriptors.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("too many descriptors for one message"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    Ok(rustix::net::sendmsg(io, &[IoSlice::new(bytes)], &mut beside, flags)?)
}

/// Reads once; gives how many bytes came.
fn receive(io: &UnixStream, decoder: &mut Decoder) -> io::Result<usize> {
    let mut bytes = [0; 16 * 1024];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut beside = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let read = rustix::net::recvmsg(io, &mut parts, &mut beside, flags)?.bytes;
    let descriptors = beside.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
        _ => None,
    });
    decoder.feed(bytes.get(..read).unwrap_or_default(), descriptors.flatten());
    Ok(read)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::hot_restart::message::{Socket, Sockets, Taken};

    fn pair() -> (Channel, Channel) {
        let (one, other) = UnixStream::pair().unwrap();
        (Channel::new(one), Channel::new(other))
    }

    #[tokio::test]
    async fn listening_sockets_come_over_and_are_closed_on_exec() {
        let (old, mut new) = pair();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket { address: address.to_string(), is_admin: false };
        let sockets = Sockets { sockets: vec![socket; MAX_DESCRIPTORS], is_last: true };
        let message = Message::Sockets(sockets);
        let copies = (0..MAX_DESCRIPTORS).map(|_| listener.try_clone().unwrap().into());
        old.send(&message, &copies.collect::<Vec<OwnedFd>>()).await.unwrap();
        let received = new.receive().await.unwrap();
        assert_eq!(received.message, message);
        assert_eq!(received.descriptors.len(), MAX_DESCRIPTORS);
        for descriptor in received.descriptors {
            let flags = rustix::io::fcntl_getfd(&descriptor).unwrap();
            assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            assert_eq!(TcpListener::from(descriptor).local_addr().unwrap(), address);
        }
    }

    #[tokio::test]
    async fn the_end_is_told_from_a_cut() {
        let (old, mut new) = pair();
        old.send(&Message::Taken(Taken {}), &[]).await.unwrap();
        drop(old);
        assert_eq!(new.receive().await.unwrap().message, Message::Taken(Taken {}));
        assert!(matches!(new.receive().await, Err(ChannelError::Closed)));
        let (old, mut new) = pair();
        send(&old.io, &frame::encode(&Message::Taken(Taken {}))[..9], &[]).unwrap();
        drop(old);
        assert!(matches!(new.receive().await, Err(ChannelError::Cut)));
    }
}
