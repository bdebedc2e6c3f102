//! The TCP proxy: bytes both ways.

mod stats;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use mesh_runtime::drain::Watcher;
use tracing::debug;

use crate::access_log::{Flags, Log, Record};
use crate::config;
use crate::network::Connection;
use crate::transport::copy::{self, End, Flow};
use crate::worker::Shared;
use crate::worker::Worker;
use stats::Stats;

/// Envoy's TCP proxy at work.
pub(crate) struct TcpProxy {
    config: Arc<config::TcpProxy>,
    stats: Stats,
    logs: Vec<Log>,
}

/// How far a connection got.
#[derive(Default)]
struct Outcome {
    flags: Flags,
    cluster: Option<config::Name>,
    upstream: Option<SocketAddr>,
    upstream_local: Option<SocketAddr>,
    /// Why the last handshake with an upstream failed.
    failure: Option<Arc<str>>,
}

impl TcpProxy {
    /// An error is that of opening an access log.
    pub(crate) fn new(config: Arc<config::TcpProxy>, shared: &Arc<Shared>) -> io::Result<Self> {
        let logs = config.access_logs.iter().map(|log| shared.access_logs.open(log));
        let logs = logs.collect::<io::Result<_>>()?;
        Ok(Self { stats: Stats::new(&shared.registry, &config.stat_prefix), logs, config })
    }

    pub(crate) fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Proxies the connection until both sides have closed, an error, the idle timeout, or
    /// the immediate part of `drain`: what goes over it cannot be asked to end.
    pub(crate) async fn serve(
        &self,
        mut connection: Connection,
        worker: Rc<Worker>,
        mut drain: Watcher,
    ) {
        let started = Instant::now();
        let flow = Flow::new(Some(&self.stats.rx_bytes), Some(&self.stats.tx_bytes));
        let mut outcome = Outcome::default();
        self.stats.cx_total.inc();
        tokio::select! {
            () = self.proxy(&mut connection, &worker, &flow, &mut outcome) => {}
            () = drain.immediate() => outcome.flags.insert(Flags::LOCAL_RESET),
        }
        self.log(&connection, started, &flow, &outcome);
    }

    async fn proxy(
        &self,
        connection: &mut Connection,
        worker: &Rc<Worker>,
        flow: &Flow<'_>,
        outcome: &mut Outcome,
    ) {
        let mut upstream = match upstream::connect(&self.config, connection, worker, outcome).await
        {
            Ok(upstream) => upstream,
            Err(flags) => {
                outcome.flags.insert(flags);
                if flags.contains(Flags::NO_CLUSTER) {
                    self.stats.cx_no_route.inc();
                }
                return;
            }
        };
        let (down, up) = (&mut connection.io, &mut upstream.connected.io);
        match copy::both(down, up, flow, self.config.idle_timeout).await {
            End::Closed => {}
            End::Idle => self.stats.idle_timeout.inc(),
            End::Downstream(error) => {
                debug!(remote = %connection.remote, %error, "downstream ended");
                outcome.flags.insert(Flags::DOWNSTREAM_CONNECTION_TERMINATION);
            }
            End::Upstream(error) => {
                debug!(upstream = ?outcome.upstream, %error, "upstream ended");
                outcome.flags.insert(Flags::UPSTREAM_CONNECTION_TERMINATION);
            }
        }
    }

    fn log(&self, connection: &Connection, started: Instant, flow: &Flow<'_>, outcome: &Outcome) {
        let record = Record {
            duration: started.elapsed(),
            flags: outcome.flags,
            bytes_received: flow.received(),
            bytes_sent: flow.sent(),
            upstream_host: outcome.upstream,
            upstream_cluster: outcome.cluster.as_deref(),
            upstream_local: outcome.upstream_local,
            upstream_failure: outcome.failure.as_deref(),
            downstream_tls: connection.tls.as_deref(),
            server_name: connection.server_name.as_deref(),
            ..Record::new(connection.accepted, connection.remote, connection.local)
        };
        self.logs.iter().for_each(|log| log.write(&record));
    }
}
