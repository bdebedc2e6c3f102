//! The bootstrap: read, merged, validated. An error is one line: file, path, what was
//! found and what was expected.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use mesh_proto::envoy::config::bootstrap::v3::Bootstrap;
use mesh_proto::envoy::config::core::v3::node::UserAgentVersionType;
use mesh_proto::text;
use prost::Message as _;

use super::Args;
use crate::config::{self, wire};

const FLAG: &str = "--config-yaml";

/// The configuration, and the message that it was made from.
pub(super) fn load(args: &Args) -> anyhow::Result<(config::Bootstrap, Bootstrap)> {
    let mut message = match (&args.config_path, &args.config_yaml) {
        (None, None) => bail!("no configuration: give one with -c FILE or --config-yaml"),
        (None, Some(text)) => parse(FLAG, text)?,
        (Some(path), None) => read(path)?,
        (Some(path), Some(text)) => {
            let mut message = read(path)?;
            // As protobuf merges: lists grow, single values are replaced.
            message.merge(parse(FLAG, text)?.encode_to_vec().as_slice())?;
            message
        }
    };
    name_node(args, &mut message);
    let config = wire::bootstrap(message.clone())
        .map_err(|error| anyhow!("{}: {error}", source_of(args)))?;
    Ok((config, message))
}

fn read(path: &Path) -> anyhow::Result<Bootstrap> {
    let name = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name}: cannot be read"))?;
    parse(&name, &text)
}

fn parse(source: &str, text: &str) -> anyhow::Result<Bootstrap> {
    text::from_yaml(text).map_err(|error| anyhow!("{source}: {error}"))
}

fn source_of(args: &Args) -> String {
    match (&args.config_path, &args.config_yaml) {
        // Which of the two a merged value came from, nobody knows any more.
        (Some(path), Some(_)) => format!("{} with {FLAG} merged over it", path.display()),
        (Some(path), None) => path.display().to_string(),
        (None, _) => FLAG.to_owned(),
    }
}

/// What the flags say of the node, and who we are.
fn name_node(args: &Args, message: &mut Bootstrap) {
    let node = message.node.get_or_insert_default();
    if let Some(id) = &args.service_node {
        node.id.clone_from(id);
    }
    if let Some(cluster) = &args.service_cluster {
        node.cluster.clone_from(cluster);
    }
    "mesh-proxy".clone_into(&mut node.user_agent_name);
    let version = env!("CARGO_PKG_VERSION").to_owned();
    node.user_agent_version_type = Some(UserAgentVersionType::UserAgentVersion(version));
}
