//! Asks a certificate authority, as Istio's agents do.

use std::error::Error;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mesh_proto::istio::v1::auth::istio_certificate_service_client::IstioCertificateServiceClient;
use mesh_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use mesh_tls::{
    Connector, Credentials, CredentialsError, Identity, KeyError, PrivateKey, SanKind, SanMatcher,
    SanPattern, SpiffeId, TrustBundle, VERSIONS, client_config, csr, server_verifier,
};
use tokio::sync::watch;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::{InvalidDnsNameError, ServerName};
use tonic::metadata::errors::InvalidMetadataValue;
use tonic::transport::Endpoint;
use tonic::{Request, Status};

use super::secrets::Keeper;
use crate::proxy::bootstrap::Discovery;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the authority is, and how to ask it.
pub(super) struct CertificateAuthority {
    address: Discovery,
    name: ServerName<'static>,
    matcher: SanMatcher,
    token_path: PathBuf,
    seconds: u32,
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaError {
    #[error("cannot read the token {path} (--token-path): {source}")]
    Token { path: PathBuf, source: io::Error },
    #[error("the token in {0} (--token-path) is no line of ASCII")]
    TokenForm(PathBuf, #[source] InvalidMetadataValue),
    #[error("there are no root certificates yet (--root-cert-path)")]
    NoRoots,
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("the address: {0}")]
    Address(tonic::transport::Error),
    #[error("{}", explain(.0))]
    Call(Box<Status>),
    #[error("what the authority has sent: {0}")]
    Answer(#[from] CredentialsError),
    #[error("the authority has sent a certificate for {found}, asked for was {asked}")]
    Other { found: Box<SpiffeId>, asked: Box<SpiffeId> },
}

/// tonic says "transport error" and keeps the reason to itself.
fn explain(status: &Status) -> String {
    let code = status.code();
    let mut text = format!("{code:?}: {}", status.message());
    let mut cause: Option<&dyn Error> = status.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = text + ": " + &more;
        }
        cause = error.source();
    }
    text
}

impl CertificateAuthority {
    pub(super) fn new(
        address: Discovery,
        san: &str,
        token_path: PathBuf,
        seconds: u32,
    ) -> Result<Self, InvalidDnsNameError> {
        let matcher = match san.parse::<IpAddr>() {
            Ok(ip) => SanMatcher {
                kind: SanKind::Ip,
                pattern: SanPattern::Exact(ip.to_string()),
                ignore_case: false,
            },
            Err(_) => SanMatcher::dns(san),
        };
        let name = ServerName::try_from(san.to_owned())?;
        Ok(Self { address, name, matcher, token_path, seconds })
    }

    /// A new key and a certificate for it. The token proves who asks, and so does the
    /// certificate that is still valid, if `show` says to show it: an authority that does not
    /// know it (any more) takes no connection with it.
    pub(super) async fn ask(&self, keeper: &Keeper, show: bool) -> Result<Identity, CaError> {
        let roots = keeper.roots().ok_or(CaError::NoRoots)?;
        let is_valid = |identity: &Identity| identity.not_after() > SystemTime::now();
        let current = keeper.identity().filter(|identity| show && is_valid(identity));
        let key = PrivateKey::generate()?;
        let message = IstioCertificateRequest {
            csr: csr(&key, &keeper.id)?,
            validity_duration: i64::from(self.seconds),
            ..IstioCertificateRequest::default()
        };
        let mut request = Request::new(message);
        if let Some(token) = self.token(current.is_some())? {
            let value = format!("Bearer {token}").parse();
            let mut value: tonic::metadata::AsciiMetadataValue =
                value.map_err(|error| CaError::TokenForm(self.token_path.clone(), error))?;
            value.set_sensitive(true);
            request.metadata_mut().insert("authorization", value);
        }
        let answer = self.call(request, &roots, current.as_ref()).await?;
        let chain = without_root(&answer.cert_chain, &roots);
        let identity = Identity::new(Credentials::new(&chain, key)?)?;
        match *identity.id() == keeper.id {
            true => Ok(identity),
            false => Err(CaError::Other {
                found: Box::new(identity.id().clone()),
                asked: Box::new(keeper.id.clone()),
            }),
        }
    }

    /// A connection for each request: there are hours between two.
    async fn call(
        &self,
        request: Request<IstioCertificateRequest>,
        roots: &TrustBundle,
        current: Option<&Identity>,
    ) -> Result<IstioCertificateResponse, CaError> {
        let verifier = server_verifier(Some(roots), std::slice::from_ref(&self.matcher));
        let credentials = current.map(Identity::credentials);
        let config = client_config(credentials, verifier, &[b"h2".to_vec()], VERSIONS)?;
        let (_sender, config) = watch::channel(Arc::new(config));
        let connector = Connector::new(config, self.name.clone());
        let endpoint =
            Endpoint::from_shared(self.address.uri()).map_err(CaError::Address)?.timeout(TIMEOUT);
        let channel = endpoint.connect_with_connector_lazy(connector);
        let mut client = IstioCertificateServiceClient::new(channel);
        let answer = client.create_certificate(request).await;
        Ok(answer.map_err(|status| CaError::Call(Box::new(status)))?.into_inner())
    }

    fn token(&self, has_certificate: bool) -> Result<Option<String>, CaError> {
        match fs::read_to_string(&self.token_path) {
            Ok(token) => Ok(Some(token.trim().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_certificate => Ok(None),
            Err(source) => Err(CaError::Token { path: self.token_path.clone(), source }),
        }
    }
}

/// Whoever trusts a root has it; Istio's answer ends with it.
fn without_root(chain: &[String], roots: &TrustBundle) -> String {
    let is_root = |pem: &String| {
        TrustBundle::from_pem(pem.as_bytes())
            .is_ok_and(|one| one.roots().iter().all(|root| roots.roots().contains(root)))
    };
    chain.iter().filter(|pem| !is_root(pem)).map(|pem| format!("{}\n", pem.trim_end())).collect()
}
