//! What two processes say to each other.
//!
//! The new process says [`Message::Hello`]; from then on each message but the last ones is
//! answered before the next is sent:
//!
//! ```text
//! new                       old
//! Hello                ──▶            a version, an epoch
//!                      ◀──  Welcome   or Refused; Wait comes before when another leaves first
//! Taken                ──▶
//!                      ◀──  Sockets   several, the last one says so
//! Taken                ──▶
//!                      ◀──  Counts    several, the last one says so
//! Taken                ──▶
//!            (the new one warms, then accepts)
//! Ready                ──▶            the old one stops accepting and answering pages
//!                      ◀──  Counts    what came since
//! Taken                ──▶            from here on the new process is the proxy
//!                      ◀──  Counts    from time to time while the old one drains
//! Taken                ──▶
//!                      ◀──  Left      after its last counts
//! Taken                ──▶
//! ```
//!
//! Beside these the old process says [`Message::Withdrawn`] when it has lost patience, and
//! the new one [`Message::Ending`] when it ends in good order.
//!
//! The messages are protobuf's, so that a field can be added; what else changes raises
//! [`VERSION`]. Hello, Refused and the frame around them stay as they are for ever: by them
//! two versions tell each other that they do not fit.

use std::time::Duration;

use prost::{Message as _, Oneof};

use crate::config::Address;
use crate::stats::{BOUNDS, Snapshot, Value};

/// The version of all this.
pub(crate) const VERSION: u32 = 1;

/// A message with what comes beside it: as many descriptors as it lists sockets.
#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum Message {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Refused(Refused),
    #[prost(message, tag = "3")]
    Wait(Wait),
    #[prost(message, tag = "4")]
    Welcome(Welcome),
    #[prost(message, tag = "5")]
    Taken(Taken),
    #[prost(message, tag = "6")]
    Sockets(Sockets),
    #[prost(message, tag = "7")]
    Counts(Counts),
    #[prost(message, tag = "8")]
    Ready(Ready),
    #[prost(message, tag = "9")]
    Withdrawn(Withdrawn),
    #[prost(message, tag = "10")]
    Ending(Ending),
    #[prost(message, tag = "11")]
    Left(Left),
}

/// The first word of the new process.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    #[prost(uint32, tag = "1")]
    pub(crate) version: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) epoch: u32,
    #[prost(uint32, tag = "3")]
    pub(crate) pid: u32,
    /// For people.
    #[prost(string, tag = "4")]
    pub(crate) build: String,
}

/// There will be no handover.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Refused {
    #[prost(enumeration = "Reason", tag = "1")]
    pub(crate) reason: i32,
    /// The version of the old process.
    #[prost(uint32, tag = "2")]
    pub(crate) version: u32,
    #[prost(string, tag = "3")]
    pub(crate) build: String,
}

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(crate) enum Reason {
    Unknown = 0,
    /// The protocol's version is another one.
    Version = 1,
    /// The process is handing over to another one, or has.
    Busy = 2,
    /// The process is not serving yet.
    Starting = 3,
    /// The process has been asked to end.
    Ending = 4,
    /// The new process's epoch is not higher.
    Epoch = 5,
}

/// A process older than the old one leaves first.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Wait {
    /// How long that takes at most.
    #[prost(uint64, tag = "1")]
    pub(crate) at_most_ms: u64,
}

/// The handover begins.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Welcome {
    #[prost(uint32, tag = "1")]
    pub(crate) epoch: u32,
    #[prost(uint32, tag = "2")]
    pub(crate) pid: u32,
    /// How many processes there were, this one included.
    #[prost(uint64, tag = "3")]
    pub(crate) generation: u64,
    /// Of all of them.
    #[prost(uint64, tag = "4")]
    pub(crate) uptime_s: u64,
}

/// The answer to each message of the old process.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Taken {}

/// Listening sockets; the descriptors come with it, in this order.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Sockets {
    #[prost(message, repeated, tag = "1")]
    pub(crate) sockets: Vec<Socket>,
    #[prost(bool, tag = "2")]
    pub(crate) is_last: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Socket {
    /// As `127.0.0.1:80` or `[::1]:80`.
    #[prost(string, tag = "1")]
    pub(crate) address: String,
    /// Of the admin pages, not of a listener.
    #[prost(bool, tag = "2")]
    pub(crate) is_admin: bool,
}

/// Statistics.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Counts {
    #[prost(message, repeated, tag = "1")]
    pub(crate) counts: Vec<Count>,
    #[prost(bool, tag = "2")]
    pub(crate) is_last: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Count {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(oneof = "CountValue", tags = "2, 3, 4")]
    pub(crate) value: Option<CountValue>,
}

#[derive(Clone, PartialEq, Oneof)]
pub(crate) enum CountValue {
    /// So much more.
    #[prost(uint64, tag = "2")]
    Counter(u64),
    /// The value now.
    #[prost(uint64, tag = "3")]
    Gauge(u64),
    /// So much more in each bucket.
    #[prost(message, tag = "4")]
    Histogram(HistogramCount),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct HistogramCount {
    #[prost(uint64, repeated, tag = "1")]
    pub(crate) buckets: Vec<u64>,
    #[prost(uint64, tag = "2")]
    pub(crate) sum: u64,
}

/// The new process is warm and accepts.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ready {
    /// The addresses that it listens on.
    #[prost(string, repeated, tag = "1")]
    pub(crate) claimed: Vec<String>,
    /// It is about to answer on the old process's socket of the admin pages.
    #[prost(bool, tag = "3")]
    pub(crate) takes_pages: bool,
    /// After this time the old process ends with all that is left.
    #[prost(uint64, tag = "2")]
    pub(crate) parent_shutdown_ms: u64,
}

/// The old process goes on alone.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Withdrawn {}

/// The new process ends because it was asked to.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Ending {}

/// The old process has nothing left and ends when this is taken.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Left {}

/// What stands in a frame.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(oneof = "Message", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11")]
    message: Option<Message>,
}

impl Message {
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        Envelope { message: Some(self.clone()) }.encode_to_vec()
    }

    /// `None` for what is no message that this version knows.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Envelope::decode(bytes).ok()?.message
    }

    /// How many descriptors come with it.
    pub(super) fn descriptors(&self) -> usize {
        match self {
            Self::Sockets(sockets) => sockets.sockets.len(),
            _ => 0,
        }
    }

    /// For logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Hello(_) => "Hello",
            Self::Refused(_) => "Refused",
            Self::Wait(_) => "Wait",
            Self::Welcome(_) => "Welcome",
            Self::Taken(_) => "Taken",
            Self::Sockets(_) => "Sockets",
            Self::Counts(_) => "Counts",
            Self::Ready(_) => "Ready",
            Self::Withdrawn(_) => "Withdrawn",
            Self::Ending(_) => "Ending",
            Self::Left(_) => "Left",
        }
    }
}

impl Ready {
    pub(super) fn new(claimed: &[Address], takes_pages: bool, parent_shutdown: Duration) -> Self {
        Self {
            takes_pages,
            claimed: claimed.iter().map(Address::to_string).collect(),
            parent_shutdown_ms: u64::try_from(parent_shutdown.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// What is no address claims nothing.
    pub(super) fn claimed(&self) -> Vec<Address> {
        self.claimed.iter().filter_map(|address| address.parse().ok()).collect()
    }
}

impl Count {
    pub(super) fn new(name: String, value: Value) -> Self {
        let value = match value {
            Value::Counter(more) => CountValue::Counter(more),
            Value::Gauge(now) => CountValue::Gauge(now),
            Value::Histogram(Snapshot { buckets, sum }) => {
                CountValue::Histogram(HistogramCount { buckets: buckets.to_vec(), sum })
            }
        };
        Self { name, value: Some(value) }
    }

    /// `None` for a kind that this version does not know, and for a histogram with other
    /// buckets.
    pub(super) fn read(self) -> Option<(String, Value)> {
        let value = match self.value? {
            CountValue::Counter(more) => Value::Counter(more),
            CountValue::Gauge(now) => Value::Gauge(now),
            CountValue::Histogram(HistogramCount { buckets, sum }) => {
                let buckets: [u64; BOUNDS.len() + 1] = buckets.try_into().ok()?;
                Value::Histogram(Snapshot { buckets, sum })
            }
        };
        Some((self.name, value))
    }
}
