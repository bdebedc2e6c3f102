//! The parts put together, from the first socket to the end of the drain.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use mesh_runtime::admin;
use mesh_runtime::drain;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown::Signals;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tracing::info;

use crate::ads::Discovery;
use crate::api::{self, Socket};
use crate::ca::Ca;
use crate::cli::Cli;
use crate::duties::Duties;
use crate::fleet::Fleet;
use crate::http::Monitoring;
use crate::platform::PlatformAdapter;
use crate::webhook::{Injection, Webhook};

/// For how long a pod that ends still answers as before. In a cluster its end and the change
/// of its Service's rules begin together: who comes by the old rules, the API server with a
/// pod to inject among them, would wait for nobody.
const FAREWELL: Duration = Duration::from_secs(10);

/// Open calls have this long to be answered after SIGTERM.
const DRAIN: Duration = Duration::from_secs(5);

/// What is listened on; taken before the mesh is read, so that a second control plane
/// stops before it touches anything.
pub struct Listeners {
    secure: TcpListener,
    plain: Option<TcpListener>,
    http: TcpListener,
    webhook: Option<TcpListener>,
    api: Vec<api::Listener>,
}

impl Listeners {
    /// Binds the addresses of the command line. An error names the one that is in use.
    pub async fn bind(cli: &Cli) -> anyhow::Result<Self> {
        let plain = match cli.xds_address {
            Some(address) => Some(admin::bind(address, "xDS without TLS (--xds-address)").await?),
            None => None,
        };
        let webhook = match cli.webhook_address {
            Some(address) => Some(admin::bind(address, "webhooks (--webhook-address)").await?),
            None => None,
        };
        Ok(Self {
            secure: admin::bind(cli.secure_address, "xDS over TLS (--secure-address)").await?,
            plain,
            http: admin::bind(cli.http_address, "monitoring (--http-address)").await?,
            webhook,
            api: api_listeners(cli).await?,
        })
    }
}

async fn api_listeners(cli: &Cli) -> anyhow::Result<Vec<api::Listener>> {
    let mut listeners = Vec::new();
    if let Some(path) = cli.api_socket() {
        listeners.push(api::Listener::Socket(Socket::bind(&path).await?));
    }
    if let Some(address) = cli.api_address() {
        let listener = admin::bind(address, "the API (--api-address)").await?;
        listeners.push(api::Listener::Loopback(listener));
    }
    Ok(listeners)
}

/// Serves the mesh that `platform` describes until SIGTERM or SIGINT, when `ca` is there: that
/// may take as long as an API server is away. `injection`: what pods are injected with.
/// `duties`: what one pilot does for all, where there are several.
pub async fn run<P: PlatformAdapter>(
    listeners: Listeners,
    platform: P,
    ca: impl Future<Output = anyhow::Result<Ca>>,
    injection: Injection,
    duties: Option<Duties>,
) -> anyhow::Result<()> {
    let mut signals = Signals::new().context("cannot handle signals")?;
    let (trigger, drain) = drain::channel();
    let platform = Arc::new(platform);
    let fleet = Arc::new(Fleet::default());
    let readiness = Readiness::default();
    let mut servers = JoinSet::new();

    let mut snapshots = platform.snapshots();
    let discovery = Arc::new(Discovery::new(snapshots.clone(), fleet.clone(), drain.clone()));
    let settings = injection.settings.clone();
    if let Some(cluster) = &injection.cluster {
        let (mut versions, known) = (cluster.versions(), readiness.wait_for("the nodes"));
        tokio::spawn(async move {
            let _ = versions.wait_for(Option::is_some).await;
            drop(known);
        });
    }
    let webhook = Webhook::new(Arc::clone(&platform), injection);
    let known_ca = Arc::new(OnceLock::new());
    let pages = Monitoring {
        fleet: fleet.clone(),
        webhook: webhook.metrics(),
        ca: Arc::clone(&known_ca),
        snapshots: snapshots.clone(),
        readiness: readiness.clone(),
    };
    let root = readiness.wait_for("a root that every pod has");
    let first_snapshot = readiness.wait_for("the first reading of the mesh");
    // Before all that is waited for: who asks whether the pilot lives would kill it.
    let http_drain = drain.clone();
    servers.spawn(async move {
        let served = admin::serve(listeners.http, pages.pages(), http_drain).await;
        served.context("the monitoring server ended")
    });
    let ca = tokio::select! {
        ca = ca => ca?,
        signal = signals.next() => {
            info!(signal, "ending before there was a root");
            return Ok(());
        }
    };
    let _ = known_ca.set(ca.clone());
    let known = ca.clone();
    tokio::spawn(async move {
        known.is_known().await;
        drop(root);
    });
    if let Some(listener) = listeners.plain {
        let discovery = discovery.clone();
        servers.spawn(async move {
            let served = discovery.serve_plain(listener).await;
            served.context("the xDS server without TLS ended")
        });
    }
    if let Some(listener) = listeners.webhook {
        let (ca, drain) = (ca.clone(), drain.clone());
        servers.spawn(async move {
            let served = webhook.serve(listener, &ca, drain).await;
            served.context("the server of the webhooks ended")
        });
    }
    let duties =
        duties.map(|duties| duties.start(&ca, &drain, &mut servers, snapshots.clone(), settings));
    servers.spawn(async move {
        let served = discovery.serve_secure(listeners.secure, &ca).await;
        served.context("the xDS server over TLS ended")
    });
    for listener in listeners.api {
        let (platform, fleet) = (Arc::clone(&platform), Arc::clone(&fleet));
        let drain = drain.clone();
        servers.spawn(async move {
            let served = api::serve(listener, platform, fleet, drain).await;
            served.context("the API server ended")
        });
    }
    // The drain ends when every watcher is dropped.
    drop(drain);
    tokio::spawn(async move {
        if snapshots.wait_for(|snapshot| snapshot.version() > 0).await.is_ok() {
            info!(snapshot = snapshots.borrow().version(), "ready");
        }
        drop(first_snapshot);
    });

    let signal = tokio::select! {
        signal = signals.next() => signal,
        ended = servers.join_next() => match ended {
            Some(Ok(Err(error))) => return Err(error),
            Some(Err(error)) => return Err(error.into()),
            _ => bail!("a server ended without being asked to"),
        },
    };
    info!(signal, "ending");
    let end = async {
        // Who is at the keyboard is no pod.
        if duties.is_some() && signal == "SIGTERM" {
            tokio::time::sleep(FAREWELL).await;
        }
        trigger.drain(DRAIN).await
    };
    tokio::select! {
        _ = end => {}
        signal = signals.next() => info!(signal, "ending at once"),
    }
    // Lets the API server go, which removes its socket.
    servers.shutdown().await;
    Ok(())
}
