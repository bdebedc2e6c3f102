//! One version of a listener, compiled.

use std::io;
use std::sync::Arc;

use super::balance::Balance;
use super::chain::Chain;
use super::inspector::{Inspectors, TlsInspectorStats};
use super::matcher::{Facts, Matcher};
use super::proxy_protocol::ProxyProtocol;
use super::stats::{self, Stats};
use crate::access_log::Log;
use crate::config;
use crate::worker::Shared;

/// A listener's configuration at work. A new version takes over the filter chains that
/// are the same, with their connections.
pub(crate) struct Active {
    pub(crate) config: Arc<config::Listener>,
    pub(super) stats: Stats,
    /// Of connections that no filter chain takes, and of handshakes that failed.
    pub(super) logs: Vec<Log>,
    pub(super) proxy_protocol: Option<ProxyProtocol>,
    /// With `exact_balance`.
    pub(super) balance: Option<Balance>,
    tls_inspector: Option<TlsInspectorStats>,
    matcher: Matcher,
    chains: Vec<Arc<Chain>>,
    default_chain: Option<Arc<Chain>>,
}

impl Active {
    /// Compiles the listener. An error is that of opening an access log.
    pub(crate) fn new(
        config: Arc<config::Listener>,
        shared: &Arc<Shared>,
        old: Option<&Self>,
    ) -> io::Result<Self> {
        let address = &config.address;
        let chain = |config: &Arc<config::FilterChain>| {
            let same = old.and_then(|old| old.chains().find(|chain| chain.config == *config));
            match same {
                Some(chain) => Ok(Arc::clone(chain)),
                None => Chain::new(Arc::clone(config), address, shared).map(Arc::new),
            }
        };
        let logs = config.access_logs.iter().map(|log| shared.access_logs.open(log));
        Ok(Self {
            stats: Stats::new(&shared.registry, &config.address),
            logs: logs.collect::<io::Result<_>>()?,
            proxy_protocol: config
                .proxy_protocol
                .as_ref()
                .map(|config| ProxyProtocol::new(config, &shared.registry)),
            balance: config.exact_balance.then(|| {
                let prefix = stats::prefix(&config.address);
                Balance::new(&shared.registry, &prefix, shared.workers.count())
            }),
            tls_inspector: config.tls_inspector.then(|| TlsInspectorStats::new(&shared.registry)),
            matcher: Matcher::new(config.filter_chains.iter().map(|c| c.matcher.clone())),
            chains: config.filter_chains.iter().map(&chain).collect::<io::Result<_>>()?,
            default_chain: config.default_filter_chain.as_ref().map(&chain).transpose()?,
            config,
        })
    }

    /// All filter chains, the default one too.
    pub(crate) fn chains(&self) -> impl Iterator<Item = &Arc<Chain>> {
        self.chains.iter().chain(&self.default_chain)
    }

    /// The inspectors that look at a new connection.
    pub(super) fn inspectors(&self) -> Inspectors<'_> {
        Inspectors { tls: self.tls_inspector.as_ref(), http: self.config.http_inspector }
    }

    /// The filter chain that takes such a connection.
    pub(super) fn find(&self, facts: &Facts<'_>) -> Option<&Arc<Chain>> {
        let found = self.matcher.find(facts).and_then(|at| self.chains.get(at));
        found.or(self.default_chain.as_ref())
    }
}
