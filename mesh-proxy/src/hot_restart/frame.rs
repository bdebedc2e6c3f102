//! Frames: how messages lie in a stream of bytes, and which descriptors belong to which.
//!
//! A frame is its length (four bytes, big endian, of what follows them), [`MAGIC`] and a
//! message. Descriptors come with the first bytes of their frame.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use super::message::Message;

/// The most that a frame may hold.
pub(super) const MAX_FRAME: usize = 256 * 1024;
/// The most descriptors that one message may bring. The kernel would take 253.
pub(super) const MAX_DESCRIPTORS: usize = 64;

const MAGIC: &[u8] = b"mesh-hot-restart\n";
const LENGTH: usize = 4;

/// Why what came is no message. The connection is of no more use then.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("a message of {0} bytes; {MAX_FRAME} at most were expected")]
    TooLong(usize),
    #[error("this does not speak the hot restart's protocol")]
    Foreign,
    #[error("a message that is none, or none that this version knows")]
    Unknown,
    #[error("{found} descriptors came with a message of {expected} sockets")]
    Descriptors { expected: usize, found: usize },
}

/// A message with its descriptors.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) message: Message,
    pub(super) descriptors: Vec<OwnedFd>,
}

/// Puts frames together again. Holds one frame and [`MAX_DESCRIPTORS`] at most.
#[derive(Default)]
pub(super) struct Decoder {
    bytes: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

/// A message as a frame.
pub(super) fn encode(message: &Message) -> Vec<u8> {
    let body = message.to_bytes();
    let length = u32::try_from(MAGIC.len() + body.len()).unwrap_or(u32::MAX);
    [&length.to_be_bytes(), MAGIC, &body].concat()
}

impl Decoder {
    /// Takes what was read. Whoever feeds calls [`Decoder::next`] until there is nothing.
    pub(super) fn feed(&mut self, bytes: &[u8], descriptors: impl IntoIterator<Item = OwnedFd>) {
        self.bytes.extend_from_slice(bytes);
        self.descriptors.extend(descriptors);
    }

    /// The next message, when it is there as a whole.
    pub(super) fn next(&mut self) -> Result<Option<Received>, FrameError> {
        let waiting = self.descriptors.len();
        if waiting > MAX_DESCRIPTORS {
            return Err(FrameError::Descriptors { expected: MAX_DESCRIPTORS, found: waiting });
        }
        let Some((length, rest)) = self.bytes.split_first_chunk::<LENGTH>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > MAX_FRAME {
            return Err(FrameError::TooLong(length));
        }
        // Of whoever else connects here the first bytes are enough.
        let known = rest.len().min(MAGIC.len()).min(length);
        if length < MAGIC.len() || rest[..known] != MAGIC[..known] {
            return Err(FrameError::Foreign);
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let message = Message::from_bytes(&frame[MAGIC.len()..]).ok_or(FrameError::Unknown)?;
        let expected = message.descriptors();
        if waiting < expected || (expected == 0 && rest.len() == length && waiting > 0) {
            return Err(FrameError::Descriptors { expected, found: waiting });
        }
        let descriptors = self.descriptors.drain(..expected).collect();
        self.bytes.drain(..LENGTH + length);
        Ok(Some(Received { message, descriptors }))
    }

    /// Whether something is there, but no whole message.
    pub(super) fn is_amid_frame(&self) -> bool {
        !self.bytes.is_empty()
    }
}

/// Bytes as they may come: in pieces, the first with as many descriptors as one byte before
/// them says.
#[cfg(fuzzing)]
pub(super) fn fuzz(bytes: &[u8], mut take: impl FnMut(Message, Vec<OwnedFd>)) {
    let Some((count, bytes)) = bytes.split_first() else { return };
    let descriptor = |_| std::fs::File::open("/dev/null").map(OwnedFd::from).ok();
    let mut descriptors: Vec<_> = (0..count % 4).filter_map(descriptor).collect();
    let mut decoder = Decoder::default();
    for piece in bytes.chunks(100) {
        decoder.feed(piece, descriptors.drain(..));
        loop {
            match decoder.next() {
                Ok(Some(Received { message, descriptors })) => take(message, descriptors),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hot_restart::message::{Hello, Socket, Sockets, Taken};
    use crate::random;

    fn hello() -> Message {
        Message::Hello(Hello { version: 1, epoch: 7, pid: 42, build: "mesh-proxy/1".to_owned() })
    }

    fn sockets(count: usize) -> Message {
        let socket = || Socket { address: "127.0.0.1:80".to_owned(), is_admin: false };
        Message::Sockets(Sockets { sockets: (0..count).map(|_| socket()).collect(), is_last: true })
    }

    fn descriptors(count: usize) -> Vec<OwnedFd> {
        (0..count).map(|_| std::fs::File::open("/dev/null").unwrap().into()).collect()
    }

    #[test]
    fn messages_arrive_whole_however_they_are_cut() {
        let bytes = [encode(&hello()), encode(&sockets(2)), encode(&hello())].concat();
        for size in [1, 2, 3, 7, 50, bytes.len()] {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            let at_sockets = encode(&hello()).len() / size;
            for (index, part) in bytes.chunks(size).enumerate() {
                decoder.feed(part, descriptors(if index == at_sockets { 2 } else { 0 }));
                while let Some(received) = decoder.next().unwrap() {
                    seen.push((received.message, received.descriptors.len()));
                }
            }
            assert_eq!(seen, [(hello(), 0), (sockets(2), 2), (hello(), 0)], "{size}");
            assert!(!decoder.is_amid_frame());
        }
    }

    #[test]
    fn a_part_is_no_message() {
        let bytes = encode(&hello());
        for end in 0..bytes.len() {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes[..end], []);
            assert!(decoder.next().unwrap().is_none());
            assert_eq!(decoder.is_amid_frame(), end > 0);
        }
    }

    #[test]
    fn what_is_wrong_is_told_before_it_is_kept() {
        let feed = |bytes: &[u8], count: usize| {
            let mut decoder = Decoder::default();
            decoder.feed(bytes, descriptors(count));
            decoder.next().map(|received| received.map(|received| received.message))
        };
        assert_eq!(feed(&[0xff; 4], 0), Err(FrameError::TooLong(0xffff_ffff)));
        assert_eq!(feed(b"\0\0\0\x05hello", 0), Err(FrameError::Foreign));
        assert_eq!(feed(b"\0\0\0\x50GET", 0), Err(FrameError::Foreign));
        let mut unknown = encode(&Message::Taken(Taken {}));
        let last = unknown.len() - 2;
        // Tag 15, which is not given out.
        unknown[last] = 15 << 3 | 2;
        assert_eq!(feed(&unknown, 0), Err(FrameError::Unknown));
        let expected = 2;
        let missing = FrameError::Descriptors { expected, found: 1 };
        assert_eq!(feed(&encode(&sockets(2)), 1), Err(missing));
        let surplus = FrameError::Descriptors { expected: 0, found: 1 };
        assert_eq!(feed(&encode(&hello()), 1), Err(surplus));
        let flood = FrameError::Descriptors { expected: MAX_DESCRIPTORS, found: 65 };
        assert_eq!(feed(&[], 65), Err(flood));
    }

    #[test]
    fn noise_is_refused_and_never_kept() {
        let good = encode(&sockets(3));
        for round in 0..20_000 {
            let mut bytes = match round % 3 {
                // A good frame with a few bytes of noise in it.
                0 | 1 => good.clone(),
                _ => (0..random::below(200)).map(|_| random::next() as u8).collect(),
            };
            for _ in 0..random::below(4) {
                let at = random::below(bytes.len() as u64) as usize;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random::next() as u8;
                }
            }
            let mut decoder = Decoder::default();
            for part in bytes.chunks(1 + random::below(64) as usize) {
                decoder.feed(part, descriptors(random::below(3) as usize));
                while let Ok(Some(_)) = decoder.next() {}
                assert!(decoder.bytes.len() <= 4 + MAX_FRAME);
            }
        }
    }
}
