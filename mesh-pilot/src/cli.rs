//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

/// The control plane: tells each proxy of the mesh what to do.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// Folder of Kubernetes YAML that describes the mesh; watched for changes.
    #[arg(long, value_name = "DIR")]
    pub config_dir: PathBuf,

    /// Where proxies ask for their configuration (xDS over gRPC, without TLS).
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:15010")]
    pub xds_address: SocketAddr,

    /// Unix socket where meshctl asks; owned by who called sudo.
    #[arg(long, value_name = "PATH", default_value = "/run/mesh-local/pilot.sock")]
    pub api_socket: PathBuf,

    /// Where /ready, /metrics and /debug are served.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15014")]
    pub http_address: SocketAddr,

    /// Domain of the full names of services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,

    /// Who vouches for the identities of the mesh: the first part of each.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = trust_domain)]
    pub trust_domain: String,

    /// Whether sidecars encrypt what they send to each other, and take what is encrypted,
    /// where no rule says anything.
    #[arg(long, value_name = "BOOL", default_value_t = false, action = clap::ArgAction::Set)]
    pub auto_mtls: bool,

    /// error, warn, info, debug, trace, or a list such as info,mesh_xds=debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

fn trust_domain(text: &str) -> Result<String, mesh_tls::SpiffeError> {
    mesh_tls::check_trust_domain(text).map(|()| text.to_owned())
}
