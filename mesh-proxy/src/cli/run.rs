//! From a configuration to a proxy that serves, and to its end.

use std::sync::{Arc, Mutex};

use anyhow::{Context as _, anyhow};
use mesh_proto::envoy::config::bootstrap::v3::Bootstrap as Message;
use mesh_runtime::memory;
use mesh_runtime::shutdown::Signals;
use mesh_runtime::telemetry::Levels;
use tokio::sync::watch;
use tracing::info;

use super::Args;
use crate::admin::{self, Generation, Status, Trim};
use crate::config::Bootstrap;
use crate::hot_restart::{Driver, Proxy};
use crate::server::DataPlane;
use crate::worker::{Shared, Workers};
use crate::xds::{Control, Now, State, Targets};

/// Serves until a signal asks for the end. The control thread is the one that calls it.
pub(super) fn run(
    args: &Args,
    config: &Bootstrap,
    message: Message,
    levels: Levels,
    trim: Trim,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(serve(args, config, message, levels, trim));
    // Nothing that is left may hold up the end.
    runtime.shutdown_background();
    result
}

async fn serve(
    args: &Args,
    config: &Bootstrap,
    message: Message,
    levels: Levels,
    trim: Trim,
) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    let workers = args.workers();
    let drain_time = args.drain_time();
    let options = args.hot_restart()?;
    let epoch = options.epoch;
    let shared = Shared::new(workers);
    if !config.limits.is_empty() {
        // Nobody was before us.
        let _ = shared.limits.set(config.limits.clone());
    }
    let node = message.node.clone().unwrap_or_default();
    let _ = shared.service_cluster.set(node.cluster.as_str().into());
    let targets = Targets::new(config, node, &shared.secrets)?;
    let begun = Driver::begin(options, &shared.registry, &mut signals).await?;
    let Some((driver, start)) = begun else { return Ok(()) };
    let data_plane = DataPlane::start(workers, Arc::clone(&shared), drain_time)
        .context("cannot start the workers")?;
    let state = Arc::new(Mutex::new(State::new(config, &message, Now::read())));
    let generation =
        Generation { epoch, number: start.generation, earlier_uptime: start.earlier_uptime };
    let status = Status::new(args.to_json(), workers, generation, &message, &shared.registry);
    let pages = config.admin.map(|address| {
        let pages = admin::Pages {
            data_plane: data_plane.clone(),
            state: Arc::clone(&state),
            status: Arc::clone(&status),
            levels: Arc::new(levels),
            trim,
        };
        admin::Server::new(address, start.admin, pages)
    });
    let mut pages = pages.transpose()?;
    if let Some(pages) = &mut pages {
        info!("admin pages on http://{}", pages.address());
        if let Some(path) = &args.admin_address_path {
            std::fs::write(path, pages.address().to_string())
                .with_context(|| format!("--admin-address-path: {}", path.display()))?;
        }
        if start.is_alone {
            pages.start()?;
        }
    }
    if !start.is_alone {
        data_plane.inherit(start.inherited);
    }
    // The file is known to be good and the state has its own copies.
    drop(message);
    // Its message has its causes in it.
    let control = Control::start(data_plane.clone(), state, targets, drain_time)
        .await
        .map_err(|error| anyhow!("{error}"))?;
    if start.is_alone {
        status.set_serving();
    }
    info!(workers, listeners = data_plane.listeners().len(), "static configuration is in force");
    let warm = control.warm();
    tokio::spawn(settle(warm.clone(), data_plane.shared().workers.clone(), trim));
    // Ends only with the runtime.
    tokio::spawn(control.run());
    driver.run(Proxy { data_plane, pages, status, warm }, &mut signals).await?;
    Ok(())
}

/// Gives back what only the first configuration needed, once it is in force, and what is not
/// used later.
async fn settle(mut warm: watch::Receiver<bool>, workers: Workers, trim: Trim) {
    if warm.wait_for(|warm| *warm).await.is_ok() {
        memory::keep_small(|| {
            trim();
            for index in 0..workers.count() {
                workers.run(index, move |_| trim());
            }
        })
        .await;
    }
}
