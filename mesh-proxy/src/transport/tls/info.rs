//! What is known of a TLS connection after its handshake.

use std::cell::OnceCell;

use mesh_tls::{CertificateDetails, Credentials};
use rustls::CommonState;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
use rustls::pki_types::CertificateDer;

use super::stats::{cipher_name, version_name};

/// A connection's TLS, for logs and headers.
#[derive(Debug)]
pub(crate) struct ConnectionInfo {
    /// "TLSv1.3" or "TLSv1.2".
    pub(crate) version: &'static str,
    /// OpenSSL's name of the cipher suite.
    pub(crate) cipher: &'static str,
    /// What ALPN agreed on; empty when nothing.
    pub(crate) alpn: Box<[u8]>,
    own: Option<Credentials>,
    peer: Option<CertificateDer<'static>>,
    // Read when somebody asks: most do not.
    peer_said: OnceCell<Option<Box<CertificateDetails>>>,
}

impl ConnectionInfo {
    /// Whether the peer has shown a certificate.
    pub(crate) fn has_peer(&self) -> bool {
        self.peer.is_some()
    }

    pub(super) fn new(session: &CommonState, own: Option<Credentials>) -> Self {
        let peer = session.peer_certificates().and_then(<[_]>::first);
        let suite = session.negotiated_cipher_suite().map(|suite| suite.suite());
        Self {
            version: version_name(session.protocol_version()),
            cipher: cipher_name(suite),
            alpn: session.alpn_protocol().unwrap_or_default().into(),
            own,
            peer: peer.cloned(),
            peer_said: OnceCell::new(),
        }
    }

    /// What the proxy's own certificate says, if it gave one.
    pub(crate) fn own(&self) -> Option<&CertificateDetails> {
        self.own.as_ref().map(Credentials::details)
    }

    /// What the peer's certificate says; `None` when it gave none.
    pub(crate) fn peer(&self) -> Option<&CertificateDetails> {
        let der = self.peer.as_ref()?;
        // Whoever verified it could read it.
        let read = || CertificateDetails::parse(der).ok().map(Box::new);
        self.peer_said.get_or_init(read).as_deref()
    }

    /// SHA-256 of the peer's certificate in hexadecimal.
    pub(crate) fn peer_fingerprint(&self) -> Option<String> {
        self.peer.as_ref().map(|der| sha256(der))
    }
}

/// In hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    let digest = SUITE.tls13().map(|suite| suite.common.hash_provider.hash(bytes));
    let bytes = digest.iter().flat_map(|digest| digest.as_ref());
    bytes.map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
impl ConnectionInfo {
    pub(super) fn test(
        version: &'static str,
        own: Credentials,
        peer: Option<CertificateDer<'static>>,
    ) -> Self {
        Self {
            version,
            cipher: "TLS_AES_128_GCM_SHA256",
            alpn: Box::default(),
            own: Some(own),
            peer,
            peer_said: OnceCell::new(),
        }
    }
}

#[test]
fn hashes() {
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(sha256(b""), empty);
}
