//! TLS of clients and upstreams, and the certificates that configurations name.
//!
//! `root.pem` signed `server`, `second`, `client` and `upstream`; `other.pem` signed
//! `stranger`. `NAME.pem` is for `NAME.example` and `spiffe://conform/ns/default/sa/NAME`, its
//! key is `NAME.key`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};
use mesh_tls::{Authority, Credentials, SpiffeId, VERSIONS};
use rustls::CommonState;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::case::Tls;
use crate::wire::End;

/// The first byte of a connection that begins with TLS.
pub(crate) const HANDSHAKE: u8 = 0x16;

const DOMAIN: &str = "conform";
const LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// All certificates of a run. A clone is the same.
#[derive(Clone)]
pub(crate) struct Certificates(Arc<Inner>);

struct Inner {
    folder: PathBuf,
    by_name: BTreeMap<String, Credentials>,
    acceptor: TlsAcceptor,
}

impl Certificates {
    /// Makes them in a folder of their own in `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn make(folder: &Path) -> Result<Self> {
        let folder = folder.join("certificates");
        std::fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        let now = SystemTime::now();
        let root = Authority::create(DOMAIN, LIFETIME, now)?;
        let other = Authority::create("other", LIFETIME, now)?;
        std::fs::write(folder.join("root.pem"), root.root_pem())?;
        std::fs::write(folder.join("other.pem"), other.root_pem())?;
        let mut by_name = BTreeMap::new();
        for name in ["server", "second", "client", "upstream", "stranger"] {
            let authority = if name == "stranger" { &other } else { &root };
            let id = SpiffeId::new(DOMAIN, "default", name)?;
            let dns = [format!("{name}.example")];
            let identity = authority.issue_serving(&id, &dns, &[], LIFETIME, now)?;
            let credentials = identity.credentials().clone();
            std::fs::write(folder.join(format!("{name}.pem")), credentials.chain_pem())?;
            std::fs::write(folder.join(format!("{name}.key")), &*credentials.key().to_pem())?;
            by_name.insert(name.to_owned(), credentials);
        }
        let verifier = mesh_tls::client_verifier(None, &[], false);
        let alpn = [b"h2".to_vec(), b"http/1.1".to_vec()];
        let own = by_name.get("upstream").context("the upstreams' certificate")?;
        let config = mesh_tls::server_config(own, Some(verifier), &alpn, VERSIONS)?;
        let acceptor = TlsAcceptor::from(Arc::new(config));
        Ok(Self(Arc::new(Inner { folder, by_name, acceptor })))
    }

    /// Where the files are.
    pub(crate) fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// An upstream's side of a handshake, and what it told.
    ///
    /// # Errors
    /// When the proxy does not go through with it.
    pub(crate) async fn accept(
        &self,
        io: TcpStream,
    ) -> std::io::Result<(server::TlsStream<TcpStream>, Value)> {
        let stream = self.0.acceptor.accept(io).await?;
        let session = stream.get_ref().1;
        let mut facts = self.facts(session);
        facts["sni"] = json!(session.server_name());
        Ok((stream, facts))
    }

    /// A client's side of a handshake, and what it told; or how it failed.
    ///
    /// # Errors
    /// When the case asks for what there is not.
    pub(crate) async fn connect(
        &self,
        io: TcpStream,
        tls: &Tls,
        http2: bool,
    ) -> Result<Result<(client::TlsStream<TcpStream>, Value), End>> {
        let own = match &tls.certificate {
            Some(name) => Some(self.0.by_name.get(name).with_context(|| format!("no {name}"))?),
            None => None,
        };
        let mut alpn: Vec<Vec<u8>> = tls.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        if http2 && alpn.is_empty() {
            alpn.push(b"h2".to_vec());
        }
        let versions = match tls.version.as_deref() {
            None => VERSIONS,
            Some("1.2") => &[&TLS12][..],
            Some("1.3") => &[&TLS13][..],
            Some(other) => bail!("TLS {other}: there are 1.2 and 1.3"),
        };
        let any = mesh_tls::server_verifier(None, &[]);
        let mut config = mesh_tls::client_config(own, any, &alpn, versions)?;
        config.enable_sni = tls.sni.is_some();
        let name = ServerName::try_from(tls.sni.clone().unwrap_or_else(|| "none".to_owned()))?;
        let connector = TlsConnector::from(Arc::new(config));
        Ok(match connector.connect(name, io).await {
            Ok(stream) => {
                let facts = self.facts(stream.get_ref().1);
                Ok((stream, facts))
            }
            Err(error) => Err(End::of(&error)),
        })
    }

    fn facts(&self, session: &CommonState) -> Value {
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        json!({
            "version": session.protocol_version().map(|version| format!("{version:?}")),
            "alpn": session.alpn_protocol().map(crate::wire::text),
            "certificate": certificate.map(|certificate| self.name(certificate)),
        })
    }

    fn name(&self, certificate: &CertificateDer<'_>) -> &str {
        let is_it = |own: &Credentials| own.chain().first() == Some(certificate);
        let found = self.0.by_name.iter().find(|(_, own)| is_it(own));
        found.map_or("unknown", |(name, _)| name)
    }
}
