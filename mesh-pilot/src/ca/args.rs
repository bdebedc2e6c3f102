//! The flags of the certificate authority.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use mesh_tls::SpiffeId;

use super::caller::{JoinTokens, Reviewer};
use super::files::GivenFiles;
use super::secret::{SecretName, SecretStore};
use super::service::Lifetimes;
use super::serving::Names;
use super::store::RootStore;

/// The certificate authority: where its root is, whom it believes, how long certificates live.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Certificate authority")]
pub struct CaArgs {
    /// Folder in which the root is made on the first start and kept; the --config-dir with
    /// "-ca" appended when not given.
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,

    /// Folder with an authority of your own: ca-cert.pem, ca-key.pem, cert-chain.pem,
    /// root-cert.pem (Istio's cacerts), or tls.crt, tls.key, ca.crt (cert-manager's).
    #[arg(long, value_name = "DIR", conflicts_with_all = ["ca_dir", "ca_cert", "ca_secret"])]
    ca_certs_dir: Option<PathBuf>,

    /// Certificate of an authority of your own, in PEM.
    #[arg(long, value_name = "FILE", requires_all = ["ca_key", "ca_root"], conflicts_with_all = ["ca_dir", "ca_secret"])]
    ca_cert: Option<PathBuf>,

    /// Its key.
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,

    /// The certificates between it and the root.
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_chain: Option<PathBuf>,

    /// Its root.
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_root: Option<PathBuf>,

    /// Kubernetes Secret in which the root is made on the first start and kept.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "ca_dir")]
    ca_secret: Option<SecretName>,

    /// File in which the roots are published that the mesh trusts; root-cert.pem in the
    /// --ca-dir when not given.
    #[arg(long, value_name = "FILE")]
    root_cert_file: Option<PathBuf>,

    /// How long a certificate is valid when its request does not say: 10s, 30m, 24h, 90d.
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "24h")]
    workload_cert_ttl: Duration,

    /// How long a certificate is valid at most, whatever its request says; at most 90d.
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "90d")]
    max_workload_cert_ttl: Duration,

    /// Folder of registered join tokens, with which pods of one machine prove who they are.
    #[arg(long, value_name = "DIR")]
    join_tokens: Option<PathBuf>,

    /// Take service account tokens too, checked by the API server (TokenReview) that
    /// KUBECONFIG or the pod's own service account leads to.
    #[arg(long)]
    token_review: bool,

    /// Audiences of service account tokens, any of which is taken.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "istio-ca,mesh-ca")]
    token_audiences: Vec<String>,

    /// DNS names by which agents and proxies find this pilot.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "mesh-pilot.mesh-system.svc,mesh-pilot.mesh-system,mesh-pilot,localhost"
    )]
    serving_names: Vec<String>,

    /// The pilot's own namespace.
    #[arg(long, env = "POD_NAMESPACE", default_value = "mesh-system")]
    pilot_namespace: String,

    /// The pilot's own service account.
    #[arg(long, env = "SERVICE_ACCOUNT", default_value = "mesh-pilot")]
    pilot_service_account: String,
}

/// As users write it, with one unit.
fn lifetime(text: &str) -> Result<Duration, String> {
    let expected = || "expected a number with s, m, h or d, such as 24h".to_owned();
    let (number, unit) =
        text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(expected)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(expected()),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let lifetime = Duration::from_secs(number.saturating_mul(unit));
    let longest = Duration::from_secs(90 * 86_400);
    match (Lifetimes::SHORTEST..=longest).contains(&lifetime) {
        true => Ok(lifetime),
        false => Err("expected 10s to 90d".to_owned()),
    }
}

impl CaArgs {
    pub(super) fn lifetimes(&self) -> anyhow::Result<Lifetimes> {
        let (default, longest) = (self.workload_cert_ttl, self.max_workload_cert_ttl);
        ensure!(
            default <= longest,
            "--workload-cert-ttl is longer than --max-workload-cert-ttl: {default:?}, {longest:?}"
        );
        Ok(Lifetimes { default, longest })
    }

    pub(super) async fn store(&self, config_dir: &Path) -> anyhow::Result<RootStore> {
        if let Some(folder) = &self.ca_certs_dir {
            return Ok(RootStore::Given(GivenFiles::in_folder(folder)?));
        }
        if let (Some(cert), Some(key), Some(root)) = (&self.ca_cert, &self.ca_key, &self.ca_root) {
            let (cert, key, root) = (cert.clone(), key.clone(), root.clone());
            return Ok(RootStore::Given(GivenFiles {
                cert,
                key,
                chain: self.ca_chain.clone(),
                root,
            }));
        }
        if let Some(name) = &self.ca_secret {
            let secret = SecretStore::new(client().await?, name.clone());
            return Ok(RootStore::Secret(Box::new(secret)));
        }
        Ok(RootStore::Folder(self.folder(config_dir)))
    }

    pub(super) fn root_cert_file(&self, config_dir: &Path) -> PathBuf {
        let in_folder = || self.folder(config_dir).join("root-cert.pem");
        self.root_cert_file.clone().unwrap_or_else(in_folder)
    }

    fn folder(&self, config_dir: &Path) -> PathBuf {
        let beside = || {
            let name = config_dir.file_name().unwrap_or_default().to_string_lossy();
            config_dir.with_file_name(format!("{name}-ca"))
        };
        self.ca_dir.clone().unwrap_or_else(beside)
    }

    pub(super) fn join_tokens(&self) -> Option<JoinTokens> {
        self.join_tokens.clone().map(JoinTokens::new)
    }

    pub(super) async fn reviewer(&self) -> anyhow::Result<Option<Reviewer>> {
        match self.token_review {
            true => Ok(Some(Reviewer::new(client().await?, self.token_audiences.clone()))),
            false => Ok(None),
        }
    }

    /// Of a pilot that listens there.
    pub(super) fn names(&self, trust_domain: &str, at: SocketAddr) -> anyhow::Result<Names> {
        let id = SpiffeId::new(trust_domain, &self.pilot_namespace, &self.pilot_service_account)
            .context("--trust-domain, --pilot-namespace and --pilot-service-account")?;
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mut ips = vec![loopback];
        if !at.ip().is_unspecified() && at.ip() != loopback {
            ips.push(at.ip());
        }
        Ok(Names { id, dns: self.serving_names.clone(), ips })
    }
}

async fn client() -> anyhow::Result<kube::Client> {
    let config = kube::Config::infer().await.context(
        "there is no Kubernetes API server to ask: set KUBECONFIG, or run in a pod with a \
         service account",
    )?;
    kube::Client::try_from(config).context("cannot make a client of the Kubernetes API server")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_as_users_write_them() {
        for (text, seconds) in [("10s", 10), ("5m", 300), ("24h", 86_400), ("90d", 7_776_000)] {
            assert_eq!(lifetime(text).unwrap().as_secs(), seconds);
        }
        for bad in ["", "s", "9s", "91d", "24", "1y", "-1h", "1.5h", "99999999999999999999d", "1é"]
        {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
