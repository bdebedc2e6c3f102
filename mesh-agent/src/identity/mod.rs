//! The workload's identity: where it comes from, how it stays fresh, and the socket on which
//! the proxy gets it.
//!
//! The key is made here and lives in memory alone. A certificate that cannot be renewed
//! stays in use, with ever louder words as its end comes near.

mod ca;
mod files;
mod poll;
mod renew;
mod roots;
mod sds;
mod secrets;

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context;
use mesh_runtime::readiness::{Pending, Readiness};
use mesh_tls::SpiffeId;

use crate::proxy::bootstrap::Discovery;
use ca::CertificateAuthority;

/// Where the workload's identity comes from.
#[derive(clap::Args, Debug)]
pub struct IdentityArgs {
    /// HOST:PORT of the certificate authority; the discovery address when not given. With
    /// "none" the proxy has no identity, and asks for its configuration without TLS
    #[arg(long, value_name = "HOST:PORT")]
    ca_address: Option<Address>,
    /// DNS name or IP address that the certificates of the control plane and the
    /// certificate authority have
    #[arg(long, value_name = "NAME", default_value = "mesh-pilot.mesh-system.svc")]
    discovery_san: String,
    /// The token that proves who the workload is; read anew for each request
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/tokens/istio-token")]
    token_path: PathBuf,
    /// The certificates of the roots that are trusted; followed as they change
    #[arg(long, value_name = "FILE", default_value = "/var/run/secrets/istio/root-cert.pem")]
    root_cert_path: PathBuf,
    /// Seconds for which certificates are asked to be valid; 0 leaves it to the authority
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    cert_ttl_s: u32,
    /// Folder of cert-chain.pem, key.pem and root-cert.pem, followed as they change, in the
    /// place of a certificate authority
    #[arg(long, value_name = "DIR", conflicts_with = "ca_address")]
    cert_dir: Option<PathBuf>,
}

/// Where an authority is, or that there is none.
#[derive(Clone, Debug)]
enum Address {
    None,
    At(Discovery),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::None),
            _ => text.parse().map(Self::At).map_err(|_| {
                "expected HOST:PORT, such as mesh-pilot.mesh-system.svc:15012, or none".to_owned()
            }),
        }
    }
}

/// A source of identities that is not yet asked.
pub(crate) struct Source {
    kind: Kind,
    id: SpiffeId,
    san: String,
}

enum Kind {
    Authority { ca: CertificateAuthority, roots: PathBuf },
    Files(PathBuf),
}

impl Source {
    /// The source that the arguments name; none when there is to be no identity.
    pub(crate) fn new(
        args: IdentityArgs,
        discovery: &Discovery,
        id: SpiffeId,
    ) -> anyhow::Result<Option<Self>> {
        let san = args.discovery_san;
        if let Some(folder) = args.cert_dir {
            return Ok(Some(Self { kind: Kind::Files(folder), id, san }));
        }
        let address = match args.ca_address {
            Some(Address::None) => return Ok(None),
            Some(Address::At(address)) => address,
            None => discovery.clone(),
        };
        let ca = CertificateAuthority::new(address, &san, args.token_path, args.cert_ttl_s)
            .with_context(|| format!("--discovery-san {san:?}"))?;
        Ok(Some(Self { kind: Kind::Authority { ca, roots: args.root_cert_path }, id, san }))
    }

    /// What the control plane's certificate must have.
    pub(crate) fn san(&self) -> &str {
        &self.san
    }

    /// Begins to keep the identity, and serves it on `socket`.
    pub(crate) fn start(self, socket: &Path, readiness: &Readiness) -> anyhow::Result<Starting> {
        let pending = readiness.wait_for("the certificate");
        let (keeper, secrets) = secrets::keep(self.id);
        sds::serve(socket, secrets.clone())?;
        match self.kind {
            Kind::Authority { ca, roots } => {
                tokio::spawn(roots::follow(roots, keeper.clone()));
                tokio::spawn(renew::run(ca, keeper));
            }
            Kind::Files(folder) => {
                tokio::spawn(files::follow(folder, keeper));
            }
        }
        Ok(Starting { secrets, _pending: pending })
    }
}

/// An identity that is asked for; readiness waits until this is dropped.
pub(crate) struct Starting {
    secrets: secrets::Receiver,
    _pending: Pending,
}

impl Starting {
    /// Waits until there are a certificate and roots. Cancel-safe.
    pub(crate) async fn obtained(&mut self) {
        // The keeper lives as long as the program: an error cannot come.
        let _ = self.secrets.wait_for(|secrets| secrets.are_complete()).await;
    }

    /// Does not wait; readiness does.
    pub(crate) fn obtain_meanwhile(mut self) {
        tokio::spawn(async move { self.obtained().await });
    }
}
