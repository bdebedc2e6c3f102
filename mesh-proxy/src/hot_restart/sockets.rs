//! Sockets and counts as messages.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;

use prost::Message as _;

use super::frame::MAX_DESCRIPTORS;
use super::message::{Count, Counts, Message, Socket, Sockets};
use crate::config::Address;
use crate::listener::Inherited;
use crate::stats::Value;

/// How many bytes of counts go into one message: well below what a frame may hold.
const MAX_COUNTS: usize = 64 * 1024;

/// A message that is ready, with its descriptors.
pub(super) type Ready = (Message, Vec<OwnedFd>);

/// What came from the older process.
#[derive(Default)]
pub(super) struct Gifts {
    pub(super) listeners: Inherited,
    /// Of the admin pages.
    pub(super) admin: Option<TcpListener>,
}

/// All listening sockets, in as many messages as that takes; one at least.
pub(super) fn give(
    listeners: Vec<(Address, TcpListener)>,
    admin: Option<(SocketAddr, TcpListener)>,
) -> Vec<Ready> {
    let listeners = listeners.into_iter().map(|(address, socket)| (address, socket, false));
    let admin = admin.into_iter().map(|(address, socket)| (address.into(), socket, true));
    let all: Vec<_> = admin.chain(listeners).collect();
    let mut messages = Vec::new();
    let mut all = all.into_iter().peekable();
    loop {
        let (sockets, descriptors) = all
            .by_ref()
            .take(MAX_DESCRIPTORS)
            .map(|(address, socket, is_admin)| {
                (Socket { address: address.to_string(), is_admin }, OwnedFd::from(socket))
            })
            .unzip();
        let is_last = all.peek().is_none();
        messages.push((Message::Sockets(Sockets { sockets, is_last }), descriptors));
        if is_last {
            return messages;
        }
    }
}

impl Gifts {
    /// Takes sockets that came. What is no listening socket of the address that it is said
    /// to be is closed.
    pub(super) fn keep(&mut self, sockets: Sockets, descriptors: Vec<OwnedFd>) {
        for (said, descriptor) in sockets.sockets.into_iter().zip(descriptors) {
            let socket = TcpListener::from(descriptor);
            let address = Address::of(&socket).ok();
            if address.is_none() || address != said.address.parse().ok() {
                tracing::warn!("hot restart: a socket that is not of {} came", said.address);
                continue;
            }
            match address {
                Some(_) if said.is_admin => self.admin = Some(socket),
                Some(address) => self.listeners.add(address, [socket]),
                None => {}
            }
        }
    }
}

/// Counts, in as many messages as that takes; one at least.
pub(super) fn tell(counts: Vec<(String, Value)>) -> Vec<Ready> {
    let mut messages = Vec::new();
    let (mut batch, mut size) = (Vec::new(), 0);
    for (name, value) in counts {
        let count = Count::new(name, value);
        let length = count.encoded_len();
        if length > MAX_COUNTS {
            tracing::warn!("hot restart: a statistic with a name of {length} bytes is left out");
            continue;
        }
        if size + length > MAX_COUNTS {
            messages.push(std::mem::take(&mut batch));
            size = 0;
        }
        size += length;
        batch.push(count);
    }
    messages.push(batch);
    let last = messages.len() - 1;
    let messages = messages.into_iter().enumerate();
    let message =
        |(at, counts)| (Message::Counts(Counts { counts, is_last: at == last }), Vec::new());
    messages.map(message).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hot_restart::frame::{MAX_FRAME, encode};

    fn is_last(message: &Message) -> bool {
        matches!(
            message,
            Message::Sockets(Sockets { is_last: true, .. })
                | Message::Counts(Counts { is_last: true, .. })
        )
    }

    #[test]
    fn sockets_come_in_batches_and_are_kept_by_address() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let admin = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, pages) = (listener.local_addr().unwrap(), admin.local_addr().unwrap());
        let copies = (0..MAX_DESCRIPTORS).map(|_| (address.into(), listener.try_clone().unwrap()));
        let messages = give(copies.collect(), Some((pages, admin)));
        let last: Vec<_> = messages.iter().map(|(message, _)| is_last(message)).collect();
        assert_eq!(last, [false, true]);
        let mut gifts = Gifts::default();
        for (message, descriptors) in messages {
            let Message::Sockets(sockets) = message else { panic!() };
            gifts.keep(sockets, descriptors);
        }
        assert_eq!(gifts.admin.unwrap().local_addr().unwrap(), pages);
        assert_eq!(gifts.listeners.claim(&address.into()).unwrap().len(), MAX_DESCRIPTORS);
        assert!(is_last(&give(Vec::new(), None)[0].0));
    }

    #[test]
    fn a_socket_of_another_address_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let mut gifts = Gifts::default();
        for said in ["127.0.0.1:1", "nonsense"] {
            let socket = Socket { address: said.to_owned(), is_admin: false };
            let sockets = Sockets { sockets: vec![socket], is_last: true };
            gifts.keep(sockets, vec![listener.try_clone().unwrap().into()]);
        }
        assert!(gifts.listeners.claim(&address.into()).is_none());
    }

    #[test]
    fn counts_fit_into_frames() {
        let long = "x".repeat(2 * MAX_COUNTS);
        let count = |n: usize| (format!("cluster.c{n:05}.upstream_rq_total"), Value::Counter(7));
        let counts = (0..20_000).map(count).chain([(long, Value::Gauge(1))]);
        let messages = tell(counts.collect());
        assert!(messages.len() > 10);
        let mut total = 0;
        for (at, (message, _)) in messages.iter().enumerate() {
            assert!(encode(message).len() < MAX_FRAME);
            assert_eq!(is_last(message), at == messages.len() - 1);
            let Message::Counts(counts) = message else { panic!() };
            total += counts.counts.len();
        }
        assert_eq!(total, 20_000);
        assert!(is_last(&tell(Vec::new())[0].0));
    }
}
