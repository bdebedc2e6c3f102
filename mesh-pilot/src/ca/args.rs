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
use crate::cluster;

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

    /// Kubernetes Secret in which the root is made on the first start and kept; on Kubernetes
    /// NAMESPACE/mesh-ca-secret when no flag says where the root is.
    #[arg(long, value_name = "NAMESPACE/NAME", conflicts_with = "ca_dir")]
    ca_secret: Option<SecretName>,

    /// File in which the roots are published that the mesh trusts; on one machine
    /// root-cert.pem in the --ca-dir when not given.
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
    /// KUBECONFIG or the pod's own service account leads to. On Kubernetes always.
    #[arg(long)]
    token_review: bool,

    /// Audiences of service account tokens, any of which is taken.
    #[arg(long, value_name = "NAMES", value_delimiter = ',', default_value = "istio-ca,mesh-ca")]
    token_audiences: Vec<String>,

    /// DNS names by which agents and proxies find this pilot; those of its Service when not
    /// given: mesh-pilot.NAMESPACE.svc and shorter ones, and localhost.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    serving_names: Vec<String>,

    /// The pilot's own service account; its Service's name when not given.
    #[arg(long, value_name = "NAME", env = "SERVICE_ACCOUNT")]
    pilot_service_account: Option<String>,
}

/// Where the pilot runs, as far as the authority depends on it.
pub struct Site<'a> {
    /// What it runs on.
    pub home: Home<'a>,
    /// The pilot's own namespace.
    pub namespace: &'a str,
    /// The name of its Service.
    pub service: &'a str,
    /// The beginning of identities.
    pub trust_domain: &'a str,
    /// Where it listens for TLS.
    pub at: SocketAddr,
}

/// What a pilot runs on.
#[derive(Clone)]
pub enum Home<'a> {
    /// A machine, with the folder that describes the mesh: the root is kept beside it.
    Machine(&'a Path),
    /// A cluster: the root is kept in a Secret, and pods have service account tokens.
    Cluster(kube::Client),
}

impl Home<'_> {
    /// The machine's own, or one that flags lead to.
    async fn client(&self) -> anyhow::Result<kube::Client> {
        match self {
            Self::Machine(_) => cluster::client().await,
            Self::Cluster(client) => Ok(client.clone()),
        }
    }
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

    pub(super) async fn store(&self, site: &Site<'_>) -> anyhow::Result<RootStore> {
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
        if self.ca_secret.is_none()
            && let Some(folder) = self.folder(site)
        {
            return Ok(RootStore::Folder(folder));
        }
        let usual = || SecretName::usual(site.namespace);
        let name = self.ca_secret.clone().unwrap_or_else(usual);
        let secret = SecretStore::new(site.home.client().await?, name);
        Ok(RootStore::Secret(Box::new(secret)))
    }

    pub(super) fn root_cert_file(&self, site: &Site<'_>) -> Option<PathBuf> {
        let in_folder = || Some(self.folder(site)?.join("root-cert.pem"));
        self.root_cert_file.clone().or_else(in_folder)
    }

    fn folder(&self, site: &Site<'_>) -> Option<PathBuf> {
        let beside = || match site.home {
            Home::Machine(config_dir) => {
                let name = config_dir.file_name().unwrap_or_default().to_string_lossy();
                Some(config_dir.with_file_name(format!("{name}-ca")))
            }
            Home::Cluster(_) => None,
        };
        self.ca_dir.clone().or_else(beside)
    }

    pub(super) fn join_tokens(&self) -> Option<JoinTokens> {
        self.join_tokens.clone().map(JoinTokens::new)
    }

    pub(super) async fn reviewer(&self, home: &Home<'_>) -> anyhow::Result<Option<Reviewer>> {
        if !self.token_review && matches!(home, Home::Machine(_)) {
            return Ok(None);
        }
        Ok(Some(Reviewer::new(home.client().await?, self.token_audiences.clone())))
    }

    /// By which names the pilot is found.
    pub(super) fn names(&self, site: &Site<'_>) -> anyhow::Result<Names> {
        let Site { namespace, service, at, .. } = *site;
        let account = self.pilot_service_account.as_deref().unwrap_or(service);
        let id = SpiffeId::new(site.trust_domain, namespace, account)
            .context("--trust-domain, --namespace and --pilot-service-account")?;
        let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
        let mut ips = vec![loopback];
        if !at.ip().is_unspecified() && at.ip() != loopback {
            ips.push(at.ip());
        }
        let mut dns = self.serving_names.clone();
        if dns.is_empty() {
            dns = vec![
                format!("{service}.{namespace}.svc"),
                format!("{service}.{namespace}"),
                service.to_owned(),
                "localhost".to_owned(),
            ];
        }
        Ok(Names { id, dns, ips })
    }
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
