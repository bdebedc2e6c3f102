use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{ClientConfig, Error, ServerConfig, SupportedProtocolVersion};

use crate::by_name::ByName;
use crate::{Credentials, Parameters, tickets};

/// TLS 1.2 and 1.3: what Istio's sidecars speak.
pub const VERSIONS: &[&SupportedProtocolVersion] = rustls::ALL_VERSIONS;

/// Servers that a client remembers for resumption, per configuration.
const REMEMBERED_SERVERS: usize = 64;

/// A server's TLS. `verifier`: who may connect; none, clients are not asked for a
/// certificate. `alpn`: protocols, the preferred first; a client that offers none is taken,
/// one that offers only others is refused (see [`ServerContext`] for Envoy's way).
///
/// Sessions are resumed by tickets that only this configuration opens: make a new one when
/// the certificate or the trust changes, and nobody resumes what began under the old.
pub fn server_config(
    credentials: &Credentials,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    alpn: &[Vec<u8>],
    parameters: impl Into<Parameters>,
) -> Result<ServerConfig, Error> {
    server_config_by_name(std::slice::from_ref(credentials), false, verifier, alpn, parameters)
}

/// [`server_config`] with several certificates: each client gets the one for the name that it
/// asks for (SNI), as far as it can use it, else the first that it can use. Clients that name
/// nobody are refused when `requires_name`.
pub fn server_config_by_name(
    credentials: &[Credentials],
    requires_name: bool,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
    alpn: &[Vec<u8>],
    parameters: impl Into<Parameters>,
) -> Result<ServerConfig, Error> {
    let verifier = verifier.unwrap_or_else(WebPkiClientVerifier::no_client_auth);
    let parameters = parameters.into();
    let provider = parameters.provider();
    let certificates = ByName::new(credentials, requires_name, &provider)?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&parameters.versions)?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(certificates));
    config.alpn_protocols = alpn.to_vec();
    config.ticketer = tickets::tickets()?;
    // The tickets hold what a session needs.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

/// A client's TLS. `credentials`: its own certificate, when the server asks for one.
/// Sessions are remembered by this configuration alone. SNI is sent unless the caller
/// switches `enable_sni` off.
pub fn client_config(
    credentials: Option<&Credentials>,
    verifier: Arc<dyn ServerCertVerifier>,
    alpn: &[Vec<u8>],
    parameters: impl Into<Parameters>,
) -> Result<ClientConfig, Error> {
    let parameters = parameters.into();
    let builder = ClientConfig::builder_with_provider(parameters.provider())
        .with_protocol_versions(&parameters.versions)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match credentials {
        Some(own) => builder.with_client_auth_cert(own.chain().to_vec(), own.key().to_der())?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn.to_vec();
    config.resumption = Resumption::in_memory_sessions(REMEMBERED_SERVERS);
    Ok(config)
}

/// A server's TLS that goes on without ALPN when the client offers only other protocols,
/// as Envoy does.
#[derive(Clone, Debug)]
pub struct ServerContext {
    with_alpn: Arc<ServerConfig>,
    without: Arc<ServerConfig>,
}

impl ServerContext {
    /// From one configuration; sessions resume across both of its shapes.
    pub fn new(config: ServerConfig) -> Self {
        let mut without = config.clone();
        without.alpn_protocols.clear();
        Self { with_alpn: Arc::new(config), without: Arc::new(without) }
    }

    /// The configuration for this client, to be given to
    /// `tokio_rustls::StartHandshake::into_stream`.
    pub fn for_client(&self, hello: &ClientHello<'_>) -> Arc<ServerConfig> {
        let own = |name: &[u8]| self.with_alpn.alpn_protocols.iter().any(|own| own == name);
        let fits = hello.alpn().is_none_or(|mut offered| offered.any(own));
        Arc::clone(if fits { &self.with_alpn } else { &self.without })
    }

    /// The configuration with ALPN, for those who do not look at the hello.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.with_alpn)
    }
}
