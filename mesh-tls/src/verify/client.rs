use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ParsedCertificate, WebPkiClientVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};

use super::Pins;
use super::san::{self, SanMatcher};
use crate::{TrustBundle, provider};

/// Verifies a client, as [`super::server_verifier`] does a server. A client without a
/// certificate is refused when `required`; one with a bad one always.
pub fn client_verifier(
    roots: Option<&TrustBundle>,
    matchers: &[SanMatcher],
    required: bool,
) -> Arc<dyn ClientCertVerifier> {
    pinned_client_verifier(roots, matchers, &Pins::default(), required)
}

/// [`client_verifier`], and the certificate is one of those that are pinned.
pub fn pinned_client_verifier(
    roots: Option<&TrustBundle>,
    matchers: &[SanMatcher],
    pins: &Pins,
    required: bool,
) -> Arc<dyn ClientCertVerifier> {
    let chain = roots.and_then(|roots| {
        let builder =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots.store()), provider());
        // Fails only without roots, and a bundle has some.
        builder.build().ok()
    });
    Arc::new(Verifier {
        chain,
        matchers: matchers.to_vec(),
        pins: pins.clone(),
        required,
        algorithms: provider().signature_verification_algorithms,
    })
}

#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<dyn ClientCertVerifier>>,
    matchers: Vec<SanMatcher>,
    pins: Pins,
    required: bool,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.as_ref().map_or(&[], |chain| chain.root_hint_subjects())
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        match &self.chain {
            Some(chain) => chain.verify_client_cert(end_entity, intermediates, now).map(drop)?,
            None => ParsedCertificate::try_from(end_entity).map(drop)?,
        }
        san::check(&self.matchers, end_entity)?;
        self.pins.check(end_entity)?;
        Ok(ClientCertVerified::assertion())
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
