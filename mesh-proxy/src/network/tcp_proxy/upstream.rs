//! Which cluster and endpoint a connection goes to.

use std::rc::Rc;
use std::sync::Arc;

use super::{Client, Outcome};
use crate::cluster::{self, Cluster, Connected, PickContext};
use crate::config::{BufferLimit, Name, RoutingPriority, TcpProxy};
use crate::endpoint::{ActiveRequest, Verdict};
use crate::formatter::Flags;
use crate::hash;
use crate::random;
use crate::transport::ConnectError;
use crate::worker::Worker;

/// A connection to an endpoint, which counts there as a request (Envoy's `rq_active`).
pub(super) struct Upstream {
    pub(super) connected: Connected,
    pub(super) buffer_limit: BufferLimit,
    _active: ActiveRequest,
}

/// Connects to an endpoint of the chosen cluster, in as many attempts as are allowed, and
/// notes in `outcome` how far it got. The error says why there is no connection.
pub(super) async fn connect(
    config: &TcpProxy,
    client: &Client<'_>,
    worker: &Rc<Worker>,
    outcome: &mut Outcome,
) -> Result<Upstream, Flags> {
    let name = config.target.choose(random::next()).ok_or(Flags::NO_CLUSTER)?;
    outcome.cluster = Some(Name::clone(name));
    let cluster = worker.shared.clusters.get(name).ok_or(Flags::NO_CLUSTER)?;
    let hash =
        config.hash_source_ip.then(|| hash::xx64(client.remote.ip().to_string().as_bytes(), 0));
    let mut tried = Vec::new();
    for number in 0..config.max_connect_attempts.max(1) {
        if let Some(backoff) = config.backoff.filter(|_| number > 0) {
            tokio::time::sleep(backoff.before(number, random::share())).await;
        }
        if let Some(upstream) = attempt(&cluster, client, hash, &mut tried, outcome).await? {
            return Ok(upstream);
        }
    }
    let mut flags = Flags::UPSTREAM_CONNECTION_FAILURE;
    flags.insert(Flags::UPSTREAM_RETRY_LIMIT);
    Err(flags)
}

/// One endpoint, not one of those `tried` if there is another. `None`: it did not answer.
async fn attempt(
    cluster: &Arc<Cluster>,
    client: &Client<'_>,
    hash: Option<u64>,
    tried: &mut Vec<u64>,
    outcome: &mut Outcome,
) -> Result<Option<Upstream>, Flags> {
    let destination = client.original_destination;
    let context = PickContext { destination, tried, hash, ..PickContext::default() };
    let Some(endpoint) = cluster.pick(context) else {
        cluster.stats().cx_none_healthy.inc();
        return Err(Flags::NO_HEALTHY_UPSTREAM);
    };
    let Ok(permit) = cluster.permit_connection(&endpoint, RoutingPriority::Default, false) else {
        cluster.stats().cx_overflow.inc();
        return Err(Flags::UPSTREAM_OVERFLOW);
    };
    outcome.upstream = Some(endpoint.address);
    tried.push(endpoint.id);
    let connected = match cluster::connect(cluster, &endpoint, permit, None).await {
        Ok(connected) => connected,
        Err(error) => {
            outcome.failure = error.transport_failure();
            let timed_out = matches!(error, ConnectError::Timeout);
            let verdict = if timed_out { Verdict::TimedOut } else { Verdict::Failed };
            cluster.report(&endpoint, verdict);
            cluster.stats().rq_pending_failure_eject.inc();
            return Ok(None);
        }
    };
    cluster.report(&endpoint, Verdict::ConnectedOnly);
    // Envoy counts a connection as a request, too.
    cluster.stats().rq_total.inc();
    outcome.upstream_local = connected.local;
    let (buffer_limit, active) = (cluster.config.buffer_limit, ActiveRequest::new(endpoint));
    Ok(Some(Upstream { connected, buffer_limit, _active: active }))
}
