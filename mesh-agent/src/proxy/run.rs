//! In which order the agent does things.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::Context;
use mesh_runtime::readiness::Readiness;
use mesh_runtime::shutdown::Signals;
use tokio::task::LocalSet;

use super::admin::Admin;
use super::agent::Agent;
use super::binary::Binary;
use super::bootstrap::{self, Discovery};
use super::node::Node;
use super::revisions::{Document, Revisions};
use super::servers::Servers;
use super::source::{self, Source};
use super::supervisor::Policy;
use super::{ApplicationArgs, Args, RunArgs, StaticArgs};
use crate::status::Status;

/// What differs between the roles.
struct Role {
    source: Source,
    admin: Admin,
    /// Who the proxy is; nothing when its configuration says it.
    node: Option<Node>,
    /// What is done for the application beside the proxy.
    application: ApplicationArgs,
}

/// The proxy beside a workload.
pub(super) async fn sidecar(args: Args) -> anyhow::Result<u8> {
    // First of all, so that no signal is missed.
    let signals = Signals::new()?;
    let node = Node::new(&args)?;
    let discovery: Discovery = args.discovery_address.parse()?;
    let binary = Binary::find(&args.run.proxy_binary)?;
    let document = bootstrap::build(binary.kind, &node, &discovery, args.admin_port);
    tracing::info!(identity = %node.identity, "a sidecar");
    let role = Role {
        source: Source::Made(Document::from(&document)),
        admin: Admin::new((Ipv4Addr::LOCALHOST, args.admin_port).into()),
        node: Some(node),
        application: args.application,
    };
    run(&args.run, role, binary, signals).await
}

/// A proxy with a file of the user's.
pub(super) async fn with_file(args: StaticArgs) -> anyhow::Result<u8> {
    let signals = Signals::new()?;
    let binary = Binary::find(&args.run.proxy_binary)?;
    let file = &args.config_path;
    let source = Source::File(file.clone());
    let document = source.read()?;
    let address = source::admin_address(&document).with_context(|| file.display().to_string())?;
    let candidate = Revisions::new(&args.run.config_dir).candidate(&document)?;
    binary.validate(&candidate).await.with_context(|| file.display().to_string())?;
    let role = Role {
        source,
        admin: Admin::new(address),
        node: None,
        application: ApplicationArgs::default(),
    };
    run(&args.run, role, binary, signals).await
}

async fn run(
    args: &RunArgs,
    role: Role,
    binary: Binary,
    mut signals: Signals,
) -> anyhow::Result<u8> {
    let config = Revisions::new(&args.config_dir).write(0, &role.source.read()?)?;
    let address = role.node.as_ref().and_then(|node| node.addresses.first().copied());
    let address = address.unwrap_or(IpAddr::from(Ipv4Addr::LOCALHOST));
    let status = Status::new(args, &role.application, role.admin, address, Readiness::default())?;
    let servers = Servers::start(args, status)?;
    tracing::info!(proxy = %binary.path.display(), "starting the proxy");
    let policy = Policy {
        drain: binary.drain(),
        minimum: Duration::from_secs(args.minimum_drain_s),
        deadline: Duration::from_secs(args.termination_drain_s),
    };
    let proxy_args = binary.args(args, role.node.as_ref(), &config);
    let agent = Agent::new(policy, binary.path, proxy_args, role.admin, servers);
    LocalSet::new().run_until(agent.run(&mut signals)).await
}
