//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;

use crate::ca::CaArgs;

/// The control plane: tells each proxy of the mesh what to do.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    /// Where the mesh is described.
    #[arg(long, value_name = "PLATFORM", value_enum, default_value_t)]
    pub platform: Platform,

    /// Folder of Kubernetes YAML that describes the mesh; watched for changes. For --platform
    /// files, and needed there.
    #[arg(long, value_name = "DIR")]
    pub config_dir: Option<PathBuf>,

    /// The pilot's own namespace. A PeerAuthentication there that selects nobody is for the
    /// whole mesh.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE", default_value = "mesh-system")]
    pub namespace: String,

    /// The pilot's own pod; by this name it leads. The machine's and the process's when not
    /// given.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub pod_name: Option<String>,

    /// Of several control planes of one cluster, which one this is: proxies of the others
    /// have nothing to do with it.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_REVISION, value_parser = revision)]
    pub revision: String,

    /// Where proxies ask for their configuration (xDS over gRPC) with the certificates that
    /// their agents ask for there, too: TLS, with an identity for xDS. As with the other
    /// addresses, `[::]` is every one of both families, or of IPv4 where there is no IPv6.
    #[arg(long, value_name = "HOST:PORT", default_value = "[::]:15012")]
    pub secure_address: SocketAddr,

    /// Where proxies without certificates ask for their configuration, without TLS: anybody
    /// who reaches it is believed. Nowhere when not given; 15010 is Istio's port for it.
    #[arg(long, value_name = "HOST:PORT")]
    pub xds_address: Option<SocketAddr>,

    /// Unix socket where meshctl asks; owned by who called sudo. On one machine
    /// /run/mesh-local/pilot.sock when not given, on Kubernetes none.
    #[arg(long, value_name = "PATH")]
    pub api_socket: Option<PathBuf>,

    /// Where meshctl asks, too, without TLS: a loopback address, which in a pod is open to who
    /// may forward ports to it. On Kubernetes 127.0.0.1:15016 when not given, on one machine
    /// none.
    #[arg(long, value_name = "HOST:PORT", value_parser = loopback)]
    pub api_address: Option<SocketAddr>,

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

    /// Istio is in the cluster, and says itself what becomes of rules of its kinds: they are
    /// obeyed, but neither their status nor an event is written. For --platform kubernetes.
    #[arg(long)]
    pub beside_istio: bool,

    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would take them for the program's")]
    pub ca: CaArgs,

    /// error, warn, info, debug, trace, or a list such as info,mesh_xds=debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: String,
}

/// Where the mesh is described.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Platform {
    /// In a folder of Kubernetes YAML, on one machine.
    #[default]
    Files,
    /// In the Kubernetes API server that KUBECONFIG or the pod's service account leads to.
    Kubernetes,
}

/// The revision that adds nothing to names.
const DEFAULT_REVISION: &str = "default";

impl Cli {
    /// The name of this control plane's Service, Deployment and service account.
    pub fn service(&self) -> String {
        match self.revision.as_str() {
            DEFAULT_REVISION => "mesh-pilot".to_owned(),
            revision => format!("mesh-pilot-{revision}"),
        }
    }

    /// By what name this pilot leads: no other one has it.
    pub fn pod_name(&self) -> String {
        let usual = || {
            let machine = std::fs::read_to_string("/proc/sys/kernel/hostname");
            let machine = machine.unwrap_or_default();
            format!("{}-{}", machine.trim(), std::process::id())
        };
        self.pod_name.clone().unwrap_or_else(usual)
    }

    /// Where meshctl asks, if there is a socket.
    pub fn api_socket(&self) -> Option<PathBuf> {
        let usual = || match self.platform {
            Platform::Files => Some(PathBuf::from("/run/mesh-local/pilot.sock")),
            Platform::Kubernetes => None,
        };
        self.api_socket.clone().or_else(usual)
    }

    /// Where meshctl asks over TCP, if anywhere.
    pub fn api_address(&self) -> Option<SocketAddr> {
        let usual = || match self.platform {
            Platform::Files => None,
            Platform::Kubernetes => Some(SocketAddr::from(([127, 0, 0, 1], 15016))),
        };
        self.api_address.or_else(usual)
    }
}

/// It becomes a part of names and labels.
fn revision(text: &str) -> Result<String, &'static str> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let fits = text.len() <= 40
        && text.starts_with(plain)
        && text.ends_with(plain)
        && text.chars().all(|c| plain(c) || c == '-');
    match fits {
        true => Ok(text.to_owned()),
        false => Err("expected lower-case letters, digits and \"-\", at most 40"),
    }
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<SocketAddr>() {
        Ok(address) if address.ip().is_loopback() => Ok(address),
        Ok(_) => Err("anybody could ask there; expected a loopback address".to_owned()),
        Err(_) => Err("expected HOST:PORT, such as 127.0.0.1:15016".to_owned()),
    }
}

fn trust_domain(text: &str) -> Result<String, mesh_tls::SpiffeError> {
    mesh_tls::check_trust_domain(text).map(|()| text.to_owned())
}
