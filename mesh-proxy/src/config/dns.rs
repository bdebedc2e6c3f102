//! How a cluster asks DNS.

use std::net::SocketAddr;
use std::time::Duration;

use super::Endpoint;

/// What is asked, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsLookup {
    /// `dns_lookup_family`
    pub(crate) family: DnsFamily,
    /// `dns_refresh_rate`, five seconds by default.
    pub(crate) refresh: Duration,
    /// `dns_failure_refresh_rate`: the first time and the longest, instead after failures.
    pub(crate) failure: Option<(Duration, Duration)>,
    /// `respect_dns_ttl`: for as long as the answer holds, instead.
    pub(crate) respect_ttl: bool,
    /// `dns_min_refresh_rate`: not sooner, whatever the answer says.
    pub(crate) min_refresh: Duration,
    /// `dns_jitter`: up to so much later, by chance.
    pub(crate) jitter: Duration,
    /// LOGICAL_DNS: one endpoint, the first address of the answer.
    pub(crate) logical: bool,
    pub(crate) resolver: DnsResolver,
}

impl Default for DnsLookup {
    fn default() -> Self {
        Self {
            family: DnsFamily::default(),
            refresh: Duration::from_secs(5),
            failure: None,
            respect_ttl: false,
            min_refresh: Duration::ZERO,
            jitter: Duration::ZERO,
            logical: false,
            resolver: DnsResolver::default(),
        }
    }
}

/// Which addresses of a name are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum DnsFamily {
    /// AUTO: IPv6 ones, or IPv4 ones when there are none.
    #[default]
    PreferV6,
    V4Only,
    V6Only,
    /// IPv4 ones, or IPv6 ones when there are none.
    PreferV4,
    All,
}

/// Who is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DnsResolver {
    /// `resolvers`, in the place of the system's servers.
    pub(crate) servers: Vec<SocketAddr>,
    /// `use_tcp_for_dns_lookups`
    pub(crate) by_tcp: bool,
    /// `no_default_search_domain`: the name is asked for as it is, and not below others.
    pub(crate) no_search: bool,
}

/// A name whose addresses are endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsName {
    pub(crate) host: String,
    /// The port, behind an address that has no meaning, and what else holds for each
    /// endpoint.
    pub(crate) template: Endpoint,
}
