//! The HTTP connection manager: requests out of a connection, responses into it.

mod activity;
mod client_cert;
mod date;
mod ending;
mod headers;
mod host;
mod origin;
mod path;
mod request;
mod request_id;
mod serve;
mod stats;
#[cfg(test)]
mod tests;

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use http::HeaderValue;
use mesh_runtime::drain::Watcher;

use crate::access_log::Log;
use crate::codec::Limits;
use crate::codec::server::Options;
use crate::config::{self, RouteSource};
use crate::http_filter;
use crate::network::Connection;
use crate::router::LocalReplies;
use crate::routes::Slot;
use crate::worker::Shared;
use crate::worker::Worker;
use stats::HttpStats;

pub(crate) use serve::Counted;

/// Envoy's HTTP connection manager at work.
#[derive(Clone)]
pub(crate) struct HttpConnectionManager(Arc<Manager>);

/// What all connections of a connection manager share.
struct Manager {
    config: Arc<config::HttpConnectionManager>,
    /// Looked into anew for each request.
    routes: Arc<Slot>,
    stats: HttpStats,
    logs: Vec<Log>,
    filters: http_filter::Chain,
    local_replies: Option<Arc<LocalReplies>>,
    server_header: HeaderValue,
    codec: Options,
}

impl HttpConnectionManager {
    /// An error is that of opening an access log.
    pub(crate) fn new(
        config: Arc<config::HttpConnectionManager>,
        shared: &Arc<Shared>,
    ) -> io::Result<Self> {
        let routes = match &config.routes {
            RouteSource::Inline(table) => Slot::fixed(Arc::clone(table)),
            RouteSource::Rds(name) => shared.routes.slot(name),
        };
        let logs = config.access_logs.iter().map(|log| shared.access_logs.open(log));
        let server_header = HeaderValue::try_from(&*config.server_name);
        Ok(Self(Arc::new(Manager {
            routes,
            stats: HttpStats::new(&shared.registry, &config.stat_prefix),
            logs: logs.collect::<io::Result<_>>()?,
            filters: http_filter::Chain::new(&config.http_filters, &config.stat_prefix, shared),
            local_replies: config
                .local_replies
                .as_ref()
                .map(|config| Arc::new(LocalReplies::new(config))),
            server_header: server_header.unwrap_or(HeaderValue::from_static("envoy")),
            codec: Options {
                headers: Limits { bytes: config.max_headers_size, count: config.max_headers_count },
                headers_timeout: config.request_headers_timeout,
                head_idle_timeout: config.stream_idle_timeout,
                delayed_close: config.delayed_close_timeout,
                proxies_continue: config.proxies_continue,
                http1: config.http1.clone(),
                http2: config.http2,
            },
            config,
        })))
    }

    /// Counts a connection until this is dropped.
    pub(crate) fn count(&self) -> Counted {
        Counted::new(&self.0)
    }

    /// Serves a connection to its end. It ends gracefully when `drain` begins or nothing
    /// was asked for too long, and at once when `drain` says so.
    pub(crate) async fn serve(&self, connection: Connection, worker: Rc<Worker>, drain: Watcher) {
        serve::serve(Arc::clone(&self.0), connection, worker, drain).await;
    }
}
