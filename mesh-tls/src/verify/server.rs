use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::Pins;
use super::san::{self, SanMatcher};
use crate::{TrustBundle, provider};

/// Verifies a server: its chain leads to one of the roots, and one of the matchers accepts
/// one of its names. Without roots any certificate is taken (as Envoy without a
/// `trusted_ca`), without matchers any name.
pub fn server_verifier(
    roots: Option<&TrustBundle>,
    matchers: &[SanMatcher],
) -> Arc<dyn ServerCertVerifier> {
    pinned_server_verifier(roots, matchers, &Pins::default())
}

/// [`server_verifier`], and the certificate is one of those that are pinned.
pub fn pinned_server_verifier(
    roots: Option<&TrustBundle>,
    matchers: &[SanMatcher],
    pins: &Pins,
) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Verifier {
        roots: roots.map(TrustBundle::store),
        matchers: matchers.to_vec(),
        pins: pins.clone(),
        algorithms: provider().signature_verification_algorithms,
    })
}

#[derive(Debug)]
struct Verifier {
    roots: Option<RootCertStore>,
    matchers: Vec<SanMatcher>,
    pins: Pins,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let leaf = ParsedCertificate::try_from(end_entity)?;
        if let Some(roots) = &self.roots {
            verify_server_cert_signed_by_trust_anchor(
                &leaf,
                roots,
                intermediates,
                now,
                self.algorithms.all,
            )?;
        }
        san::check(&self.matchers, end_entity)?;
        self.pins.check(end_entity)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
