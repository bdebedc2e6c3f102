//! From a configuration to a proxy that serves, and to its end.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use mesh_proto::envoy::config::bootstrap::v3::Bootstrap as Message;
use mesh_runtime::shutdown::Signals;
use mesh_xds::client;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Args;
use crate::admin::{self, Asked, Status, Trim};
use crate::config::{AdsSource, Bootstrap, Discovery};
use crate::server::DataPlane;
use crate::worker::Shared;
use crate::xds::{Control, Now, State};

/// Serves until a signal asks for the end. The control thread is the one that calls it.
pub(super) fn run(
    args: &Args,
    config: &Bootstrap,
    message: Message,
    trim: Trim,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args, config, message, trim));
    // Nothing that is left may hold up the end.
    runtime.shutdown_background();
    result
}

async fn serve(
    args: &Args,
    config: &Bootstrap,
    message: Message,
    trim: Trim,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let ads = config.ads.as_ref().map(|ads| ads_client(config, ads, &message)).transpose()?;
    let workers = args.workers();
    let drain_time = Duration::from_secs(args.drain_time_s.into());
    let shared = Shared::new(workers);
    let data_plane = DataPlane::start(workers, Arc::clone(&shared), drain_time)
        .context("cannot start the workers")?;
    let state = Arc::new(Mutex::new(State::new(config, &message, Now::read())));
    let status = Status::new(args.to_json(), workers, &message, &shared.registry);
    if let Some(address) = config.admin {
        let pages = admin::Pages {
            data_plane: data_plane.clone(),
            state: Arc::clone(&state),
            status: Arc::clone(&status),
            trim,
        };
        let address = admin::start(address, pages)?;
        info!("admin pages on http://{address}");
    }
    // The file is known to be good and the state has its own copies.
    drop(message);
    // Its message has its causes in it.
    let control = Control::start(data_plane.clone(), state, ads, drain_time)
        .await
        .map_err(|error| anyhow!("{error}"))?;
    status.set_serving();
    info!(workers, listeners = data_plane.listeners().len(), "static configuration is in force");
    // Ends only with the runtime.
    tokio::spawn(control.run());
    until_the_end(&data_plane, &status, &mut signals, drain_time).await;
    Ok(())
}

/// Waits for whoever asks for the end, and then for the end of the drain.
async fn until_the_end(
    data_plane: &DataPlane,
    status: &Status,
    signals: &mut Signals,
    drain_time: Duration,
) {
    // There is one drain, whoever asks first.
    let mut drain: Option<JoinHandle<()>> = None;
    let begin = |time| {
        status.set_draining();
        let data_plane = data_plane.clone();
        tokio::spawn(async move { data_plane.drain(time).await })
    };
    let why = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            asked = status.asked() => match asked {
                Asked::Quit => break "/quitquitquit",
                Asked::Drain { graceful } => {
                    info!(graceful, "/drain_listeners");
                    let time = if graceful { drain_time } else { Duration::ZERO };
                    drain.get_or_insert_with(|| begin(time));
                }
            },
        }
    };
    info!("{why}: draining for at most {drain_time:?}");
    tokio::select! {
        _ = drain.unwrap_or_else(|| begin(drain_time)) => info!("drained"),
        signal = signals.next() => warn!("{signal} again: ending at once"),
    }
}

/// How to reach the control plane: all endpoints of its cluster, one after the other.
fn ads_client(
    config: &Bootstrap,
    ads: &AdsSource,
    message: &Message,
) -> anyhow::Result<client::Config> {
    let cluster = config.clusters.iter().find(|cluster| cluster.name == ads.cluster);
    let cluster = cluster.with_context(|| format!("there is no cluster {}", ads.cluster))?;
    let addresses: Vec<String> = match &cluster.discovery {
        Discovery::Static(assignment) => {
            assignment.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
        }
        Discovery::StrictDns { names, .. } => {
            names.iter().map(|(host, port, _)| format!("{}:{port}", bracketed(host))).collect()
        }
        Discovery::Eds { .. } | Discovery::OriginalDst => Vec::new(),
    };
    let endpoint = |address: &String| {
        let endpoint = client::endpoint(&format!("http://{address}"))?;
        Ok(endpoint.connect_timeout(cluster.connect_timeout))
    };
    let endpoints = addresses.iter().map(endpoint).collect::<anyhow::Result<Vec<_>>>()?;
    anyhow::ensure!(!endpoints.is_empty(), "cluster {} has no address", ads.cluster);
    Ok(client::Config::new(endpoints, message.node.clone().unwrap_or_default()))
}

/// An IPv6 address stands in brackets in a URI.
fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
