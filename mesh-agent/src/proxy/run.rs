//! In which order the agent does things.

use std::time::Duration;

use mesh_runtime::shutdown::Signals;
use tokio::task::LocalSet;

use super::admin::Admin;
use super::agent::Agent;
use super::bootstrap::{self, Discovery};
use super::servers::Servers;
use super::supervisor::Policy;
use super::{Args, binary::Binary, node::Node};

pub(super) async fn run(args: Args) -> anyhow::Result<u8> {
    // First of all, so that no signal is missed.
    let mut signals = Signals::new()?;
    let node = Node::new(&args)?;
    let discovery: Discovery = args.discovery_address.parse()?;
    let binary = Binary::find(&args.proxy_binary)?;
    let document = bootstrap::build(binary.kind, &node, &discovery, args.admin_port);
    let config = bootstrap::write(&args.config_dir, &document)?;

    let admin = Admin::new(args.admin_port);
    let servers = Servers::start(&args, admin).await?;

    tracing::info!(identity = %node.identity, proxy = %binary.path.display(), "starting the proxy");
    let policy = Policy {
        drain: binary.drain(),
        minimum: Duration::from_secs(args.minimum_drain_s),
        deadline: Duration::from_secs(args.termination_drain_s),
    };
    let proxy_args = binary.args(&args, &node, &config);
    let agent = Agent::new(policy, binary.path, proxy_args, admin, servers);
    LocalSet::new().run_until(agent.run(&mut signals)).await
}
