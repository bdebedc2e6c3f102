//! In which order the agent does things.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown::Signals;
use tokio::signal::unix;
use tokio::task::LocalSet;

use super::admin::Admin;
use super::agent::Agent;
use super::binary::{Binary, Kind};
use super::bootstrap::{self, Discovery, Security};
use super::found;
use super::generation::Generation;
use super::hot_restart::HotRestart;
use super::node::{self, Node};
use super::orphans::Awaited;
use super::plan::{self, Plan};
use super::revisions::{Document, Revisions};
use super::servers::Servers;
use super::source::{self, Source};
use super::supervisor::{Action, Policy, Supervisor};
use super::{ApplicationArgs, RouterArgs, RunArgs, SidecarArgs, StaticArgs, WorkloadArgs};
use crate::identity::IdentityArgs;
use crate::status::Status;
use crate::{exit, identity, job};

/// What a replaced proxy may need after its time to end by itself.
const OWN_END: Duration = Duration::from_secs(2);

/// What differs between the roles.
struct Role {
    source: Source,
    admin: Admin,
    /// Who the proxy is; nothing when its configuration says it.
    node: Option<Node>,
    /// What is done for the application beside the proxy.
    application: ApplicationArgs,
    /// Where its identity comes from.
    identity: Option<identity::Source>,
}

/// The proxy beside a workload.
pub(super) async fn sidecar(args: SidecarArgs) -> anyhow::Result<u8> {
    let SidecarArgs { run, workload, application, identity, interception_mode } = args;
    let role = node::Role::Sidecar { interception_mode };
    of_workload(run, workload, role, application, identity).await
}

/// The proxy of a gateway.
pub(super) async fn router(args: RouterArgs) -> anyhow::Result<u8> {
    let RouterArgs { run, workload, identity } = args;
    of_workload(run, workload, node::Role::Router, ApplicationArgs::default(), identity).await
}

async fn of_workload(
    args: RunArgs,
    workload: WorkloadArgs,
    role: node::Role,
    application: ApplicationArgs,
    identity: IdentityArgs,
) -> anyhow::Result<u8> {
    // First of all, so that no signal is missed.
    let signals = Signals::new()?;
    let _lock = lock(&args)?;
    let node = Node::new(&workload, role)?;
    let discovery: Discovery = workload.discovery_address.parse()?;
    let binary = Binary::find(&args.proxy_binary)?;
    let identity = identity::Source::new(identity, &discovery, node.identity.clone())?;
    let security = identity.as_ref().map(|identity| Security {
        secrets: secrets_socket(&args.config_dir),
        discovery_san: identity.san().to_owned(),
    });
    let port = workload.admin_port;
    let document = bootstrap::build(binary.kind, &node, &discovery, security.as_ref(), port);
    tracing::info!(identity = %node.identity, node = node.id(), "a proxy of the mesh");
    let role = Role {
        source: Source::Made(Document::from(&document)),
        admin: Admin::new((Ipv4Addr::LOCALHOST, port).into()),
        node: Some(node),
        application,
        identity,
    };
    run(args, role, binary, signals).await
}

/// A proxy with a file of the user's.
pub(super) async fn with_file(args: StaticArgs) -> anyhow::Result<u8> {
    let signals = Signals::new()?;
    let _lock = lock(&args.run)?;
    let binary = Binary::find(&args.run.proxy_binary)?;
    let file = args.config_path;
    let address = match check(&file, &args.run, &binary).await {
        Ok(address) => address,
        Err(error) => {
            // One that runs is looked after all the same, and stays as it is.
            let Some(config) = found::config_of_living(&args.run.config_dir) else {
                return Err(error.context(file.display().to_string()));
            };
            tracing::error!("{}: {error:#}", file.display());
            source::admin_address(&source::read(&config)?)?
        }
    };
    let role = Role {
        source: Source::File(file),
        admin: Admin::new(address),
        node: None,
        application: ApplicationArgs::default(),
        identity: None,
    };
    run(args.run, role, binary, signals).await
}

/// Whether a proxy takes the user's file; where its admin pages will be.
async fn check(file: &Path, args: &RunArgs, binary: &Binary) -> anyhow::Result<SocketAddr> {
    let document = source::read(file)?;
    let address = source::admin_address(&document)?;
    let candidate = Revisions::new(&args.config_dir).candidate(&document)?;
    binary.validate(&candidate, &Awaited::default()).await?;
    Ok(address)
}

/// Makes the folder and takes it.
fn lock(args: &RunArgs) -> anyhow::Result<File> {
    let folder = &args.config_dir;
    std::fs::create_dir_all(folder)
        .with_context(|| format!("--config-dir: cannot make {}", folder.display()))?;
    plan::lock(folder)
}

fn secrets_socket(config_dir: &Path) -> PathBuf {
    config_dir.join("sds.sock")
}

async fn run(
    args: RunArgs,
    role: Role,
    binary: Binary,
    mut signals: Signals,
) -> anyhow::Result<u8> {
    // Taken over from its default, which is to end, before anything waits.
    let hangup = unix::signal(unix::SignalKind::hangup())?;
    let hot_restart = hot_restart(&args, binary.kind);
    let address = role.node.as_ref().and_then(|node| node.addresses.first().copied());
    let address = address.unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST));
    let readiness = Readiness::default();
    let socket = secrets_socket(&args.config_dir);
    let starting = role.identity.map(|identity| identity.start(&socket, &readiness)).transpose()?;
    let admin = role.admin.clone();
    let status = Status::new(&args, &role.application, admin, address, readiness)?;
    if let Some(policy) = role.application.exit_with_application {
        job::watch(policy, status.clone());
    }
    let servers = Servers::start(&args, status)?;
    let policy = policy(&args, &binary);
    let Role { source, admin, node, .. } = role;
    let plan = Plan { args, binary, node, source, hot_restart, awaited: Awaited::default() };
    let found = Found::look(&plan, policy)?;
    match starting {
        // A proxy that runs already is looked after at once; it has the last certificate.
        Some(starting) if !found.generations.is_empty() => starting.obtain_meanwhile(),
        Some(mut starting) => tokio::select! {
            () = starting.obtained() => {}
            name = signals.next() => {
                tracing::info!("{name} before there was a certificate");
                return Ok(exit::OK);
            }
        },
        None => {}
    }
    let Found { supervisor, generations, document, differs, first } = found;
    let agent = Agent::new(plan, supervisor, admin, servers, generations, document)?;
    if let Some(reason) = differs {
        agent.restart(reason);
    }
    LocalSet::new().run_until(agent.run(&mut signals, hangup, first)).await
}

fn policy(args: &RunArgs, binary: &Binary) -> Policy {
    Policy {
        drain: binary.kind.drain(),
        minimum: Duration::from_secs(args.minimum_drain_s),
        deadline: Duration::from_secs(args.termination_drain_s),
        warm: Duration::from_secs(args.restart_timeout_s),
        replaced: Duration::from_secs(args.parent_shutdown_time_s) + OWN_END,
    }
}

fn hot_restart(args: &RunArgs, kind: Kind) -> Result<HotRestart, String> {
    HotRestart::prepare(&args.config_dir, kind).map_err(|error| format!("{error:#}"))
}

/// The proxies that live when the agent begins.
struct Found {
    supervisor: Supervisor,
    generations: Vec<Generation>,
    document: Document,
    /// Why what runs is not what is to run.
    differs: Option<String>,
    first: Vec<Action>,
}

impl Found {
    fn look(plan: &Plan, mut policy: Policy) -> anyhow::Result<Self> {
        let generations = plan.find_all();
        let now = Instant::now();
        let Some(newest) = generations.last() else {
            tracing::info!(proxy = %plan.binary.path.display(), "starting the proxy");
            let supervisor = Supervisor::new(policy, 0, now);
            let document = plan.source.read()?;
            return Ok(Self {
                supervisor,
                generations,
                document,
                differs: None,
                first: Vec::new(),
            });
        };
        policy.drain = newest.record.kind.drain();
        let (supervisor, first) = match generations.as_slice() {
            [old, _new] => Supervisor::found_two(policy, old.epoch(), now),
            _ => (Supervisor::new(policy, newest.epoch(), now), Vec::new()),
        };
        let (document, differs) = plan.compare(&newest.record)?;
        Ok(Self { supervisor, generations, document, differs, first })
    }
}
