//! A stub resolver, which says how long its answers hold.
//!
//! The system's (`getaddrinfo`) does not, and a whole resolver is more than is needed here:
//! a question to the servers of `/etc/resolv.conf` by UDP, or by TCP when the answer is long.

mod client;
mod message;
mod system;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use crate::config::DnsResolver;
use message::Kind;
use system::Settings;

/// The addresses of a name; none when there is no such name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// In the order of the answer.
    pub(crate) addresses: Vec<IpAddr>,
    /// How long they hold, if that is known.
    pub(crate) ttl: Option<Duration>,
}

/// What a server answers, or the system's files say.
#[cfg(fuzzing)]
pub(crate) fn fuzz(bytes: &[u8]) {
    message::fuzz(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        system::fuzz(text);
    }
}

impl DnsResolver {
    /// The IPv4 addresses of a name.
    ///
    /// # Errors
    /// When no server answers, or what it answers is no answer.
    pub(crate) async fn v4(&self, name: &str) -> io::Result<Found> {
        self.look_up(name, Kind::A).await
    }

    /// The IPv6 addresses of a name.
    ///
    /// # Errors
    /// As [`DnsResolver::v4`].
    pub(crate) async fn v6(&self, name: &str) -> io::Result<Found> {
        self.look_up(name, Kind::Aaaa).await
    }

    async fn look_up(&self, name: &str, kind: Kind) -> io::Result<Found> {
        let known = system::known(name);
        if !known.is_empty() {
            let of_kind = |ip: &IpAddr| ip.is_ipv4() == (kind == Kind::A);
            let addresses = known.into_iter().filter(of_kind).collect();
            return Ok(Found { addresses, ttl: None });
        }
        let settings = self.settings();
        let mut failure = None;
        for candidate in settings.candidates(name) {
            match client::ask(&settings, &candidate, kind).await {
                Ok(found) if !found.addresses.is_empty() => return Ok(found),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or_else(|| Ok(Found::default()), Err)
    }

    /// As the system's are now: they change with networks.
    fn settings(&self) -> Settings {
        let mut settings = Settings::read();
        settings.by_tcp |= self.by_tcp;
        if self.no_search {
            settings.search.clear();
        }
        if !self.servers.is_empty() {
            settings.servers.clone_from(&self.servers);
        }
        settings
    }
}
