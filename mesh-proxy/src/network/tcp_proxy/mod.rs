//! The TCP proxy: bytes both ways.

mod stats;
mod upstream;

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesh_runtime::drain::Watcher;
use tracing::debug;

use crate::access_log::Log;
use crate::config::{self, BufferLimit};
use crate::formatter::{Flags, Record};
use crate::network::Connection;
use crate::random;
use crate::transport::Io;
use crate::transport::copy::{self, End, Flow};
use crate::transport::tls::ConnectionInfo;
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

    /// Counts a connection.
    pub(crate) fn count(&self) {
        self.stats.cx_total.inc();
    }

    pub(crate) fn logs(&self) -> &[Log] {
        &self.logs
    }

    /// Proxies the connection until both sides have closed, an error, a timeout, or the
    /// immediate part of `drain`: what goes over it cannot be asked to end.
    pub(crate) async fn serve(
        &self,
        mut connection: Connection,
        worker: Rc<Worker>,
        mut drain: Watcher,
    ) {
        let flow = Flow::new(Some(&self.stats.rx_bytes), Some(&self.stats.tx_bytes));
        let mut outcome = Outcome::default();
        let (io, client) = Client::of(&mut connection);
        if self.config.logged.on_start {
            self.log(&client, &flow, &outcome);
        }
        tokio::select! {
            () = self.proxy(io, &client, &worker, &flow, &mut outcome) => {}
            () = lasts(self.max_duration()) => {
                self.stats.max_duration.inc();
                outcome.flags.insert(Flags::DURATION_TIMEOUT);
            }
            () = drain.immediate() => outcome.flags.insert(Flags::LOCAL_RESET),
        }
        self.log(&client, &flow, &outcome);
    }

    async fn proxy(
        &self,
        io: &mut Io,
        client: &Client<'_>,
        worker: &Rc<Worker>,
        flow: &Flow<'_>,
        outcome: &mut Outcome,
    ) {
        let mut upstream = match upstream::connect(&self.config, client, worker, outcome).await {
            Ok(upstream) => upstream,
            Err(flags) => {
                outcome.flags.insert(flags);
                if flags.contains(Flags::NO_CLUSTER) {
                    self.stats.cx_no_route.inc();
                }
                return;
            }
        };
        if self.config.logged.on_connected {
            self.log(client, flow, outcome);
        }
        let limits = [client.buffer_limit, upstream.buffer_limit];
        let up = &mut upstream.connected.io;
        let ended = tokio::select! {
            ended = copy::both(io, up, flow, limits, self.config.idle_timeout) => ended,
            // Never ends.
            () = self.log_now_and_then(client, flow, outcome) => return,
        };
        match ended {
            End::Closed => {}
            End::Idle => self.stats.idle_timeout.inc(),
            End::Downstream(error) => {
                debug!(remote = %client.remote, %error, "downstream ended");
                outcome.flags.insert(Flags::DOWNSTREAM_CONNECTION_TERMINATION);
            }
            End::Upstream(error) => {
                debug!(upstream = ?outcome.upstream, %error, "upstream ended");
                outcome.flags.insert(Flags::UPSTREAM_CONNECTION_TERMINATION);
            }
        }
    }

    /// How long a connection may be open.
    fn max_duration(&self) -> Option<Duration> {
        let most = self.config.max_duration?;
        Some(most + most.mul_f64(self.config.max_duration_jitter * random::share()))
    }

    async fn log_now_and_then(&self, client: &Client<'_>, flow: &Flow<'_>, outcome: &Outcome) {
        loop {
            lasts(self.config.logged.every).await;
            self.log(client, flow, outcome);
        }
    }

    fn log(&self, client: &Client<'_>, flow: &Flow<'_>, outcome: &Outcome) {
        let record = Record {
            duration: client.started.elapsed(),
            flags: outcome.flags,
            bytes_received: flow.received(),
            bytes_sent: flow.sent(),
            upstream_host: outcome.upstream,
            upstream_cluster: outcome.cluster.as_deref(),
            upstream_local: outcome.upstream_local,
            upstream_failure: outcome.failure.as_deref(),
            downstream_pipe: client.pipe,
            downstream_tls: client.tls,
            server_name: client.server_name,
            ..Record::new(client.accepted, client.remote, client.local)
        };
        self.logs.iter().for_each(|log| log.write(&record));
    }
}

/// What is known of a client, beside its bytes.
struct Client<'a> {
    remote: SocketAddr,
    local: SocketAddr,
    pipe: Option<&'a str>,
    original_destination: Option<SocketAddr>,
    tls: Option<&'a ConnectionInfo>,
    server_name: Option<&'a str>,
    accepted: SystemTime,
    started: Instant,
    buffer_limit: BufferLimit,
}

impl<'a> Client<'a> {
    fn of(connection: &'a mut Connection) -> (&'a mut Io, Self) {
        let Connection {
            io,
            remote,
            local,
            pipe,
            original_destination,
            tls,
            server_name,
            accepted,
            buffer_limit,
            ..
        } = connection;
        let client = Self {
            remote: *remote,
            local: *local,
            pipe: pipe.as_deref(),
            original_destination: *original_destination,
            tls: tls.as_deref(),
            server_name: server_name.as_deref(),
            accepted: *accepted,
            started: Instant::now(),
            buffer_limit: *buffer_limit,
        };
        (io, client)
    }
}

/// Waits so long; for ever without a time.
async fn lasts(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}
