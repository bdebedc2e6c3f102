//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::ca::CaArgs;

/// The control plane: tells each proxy of the mesh what to do.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// Folder of Kubernetes YAML that describes the mesh; watched for changes.
    #[arg(long, value_name = "DIR")]
    pub config_dir: PathBuf,

    /// Where proxies ask for their configuration (xDS over gRPC) with the certificates that
    /// their agents ask for there, too: TLS, with an identity for xDS.
    #[arg(long, value_name = "HOST:PORT", default_value = "0.0.0.0:15012")]
    pub secure_address: SocketAddr,

    /// Where proxies without certificates ask for their configuration, without TLS: anybody
    /// who reaches it is believed. Nowhere when not given; 15010 is Istio's port for it.
    #[arg(long, value_name = "HOST:PORT")]
    pub xds_address: Option<SocketAddr>,

    /// Unix socket where meshctl asks; owned by who called sudo.
    #[arg(long, value_name = "PATH", default_value = "/run/mesh-local/pilot.sock")]
    pub api_socket: PathBuf,

    /// Where /ready, /metrics and /debug are served.
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:15014")]
    pub http_address: SocketAddr,

    /// Where the API server asks about pods and rules (/inject and /validate, over TLS).
    /// Nowhere when not given; 15017 is Istio's port for it.
    #[arg(long, value_name = "HOST:PORT")]
    pub webhook_address: Option<SocketAddr>,

    /// File of what sidecars are made of, in YAML; read again when it changes. The defaults
    /// when not given.
    #[arg(long, value_name = "FILE", requires = "webhook_address")]
    pub inject_config: Option<PathBuf>,

    /// Domain of the full names of services.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local")]
    pub cluster_domain: String,

    /// Who vouches for the identities of the mesh: the first part of each.
    #[arg(long, value_name = "DOMAIN", default_value = "cluster.local", value_parser = trust_domain)]
    pub trust_domain: String,

    /// Whether sidecars encrypt what they send to each other, and take what is encrypted,
    /// where no rule says anything.
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub auto_mtls: bool,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take them for the program's")]
    pub ca: CaArgs,

    /// error, warn, info, debug, trace, or a list such as info,mesh_xds=debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

fn trust_domain(text: &str) -> Result<String, mesh_tls::SpiffeError> {
    mesh_tls::check_trust_domain(text).map(|()| text.to_owned())
}
