use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::PublicKey;

use crate::SpiffeId;

/// A certificate request that has been checked: its signature is its key's own, and the key
/// is strong enough.
#[derive(Clone, Debug)]
pub struct CertificateRequest {
    public_key: Vec<u8>,
    uris: Vec<String>,
    other_names: Vec<String>,
}

/// Why a certificate request is refused. The texts tell no secret, and quote at most names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not PKCS#10 in PEM.
    #[error("not a certificate request: expected one PKCS#10 CERTIFICATE REQUEST block in PEM")]
    Form,
    /// ECDSA on another curve, another algorithm, or RSA below 2048 bits.
    #[error(
        "the key is too weak or of a kind not taken ({0}): expected ECDSA P-256 or P-384, or RSA of 2048 to 8192 bits"
    )]
    Key(String),
    /// Not signed by the key that is inside.
    #[error("the request's signature is not its own key's")]
    Signature,
    /// It asks for a name that the caller does not have.
    #[error(
        "the request is for somebody else's identity: it names {requested}, the caller is {caller}"
    )]
    Identity {
        /// What it asks for.
        requested: String,
        /// What the caller was authenticated as.
        caller: SpiffeId,
    },
}

const MAX_NAMES: usize = 16;

impl CertificateRequest {
    /// Reads and checks a request in PEM.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let der = CertificateSigningRequestDer::from_pem_slice(text.as_bytes())
            .map_err(|_| RequestError::Form)?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|_| RequestError::Form)?;
        if !rest.is_empty() {
            return Err(RequestError::Form);
        }
        check_key(&request)?;
        request.verify_signature().map_err(|_| RequestError::Signature)?;
        let (mut uris, mut other_names) = (Vec::new(), Vec::new());
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(names) = extension else { continue };
            for name in names.general_names.iter().take(MAX_NAMES) {
                match name {
                    GeneralName::URI(uri) => uris.push((*uri).to_owned()),
                    other => other_names.push(other.to_string()),
                }
            }
        }
        let public_key = request.certification_request_info.subject_pki.raw.to_vec();
        Ok(Self { public_key, uris, other_names })
    }

    /// The URIs that it asks for; none is common, the authority knows who asks.
    pub fn uris(&self) -> &[String] {
        &self.uris
    }

    /// The key to certify: SubjectPublicKeyInfo in DER.
    pub fn public_key(&self) -> &[u8] {
        &self.public_key
    }

    /// That it asks for nothing else than the caller's own identity. A name of another kind
    /// is refused too; no name at all is fine.
    pub fn check_identity(&self, caller: &SpiffeId) -> Result<(), RequestError> {
        let own = |uri: &String| uri.parse::<SpiffeId>().is_ok_and(|id| id == *caller);
        let foreign = self.uris.iter().find(|uri| !own(uri)).or_else(|| self.other_names.first());
        match foreign {
            None => Ok(()),
            Some(requested) => Err(RequestError::Identity {
                requested: requested.chars().take(256).collect(),
                caller: caller.clone(),
            }),
        }
    }
}

fn check_key(request: &X509CertificationRequest<'_>) -> Result<(), RequestError> {
    use x509_parser::oid_registry::{OID_EC_P256, OID_NIST_EC_P384};
    let spki = &request.certification_request_info.subject_pki;
    let curve = spki.algorithm.parameters.as_ref().and_then(|any| any.as_oid().ok());
    match spki.parsed().map_err(|_| RequestError::Key("one that cannot be read".to_owned()))? {
        PublicKey::RSA(key) if (2048..=8192).contains(&key.key_size()) => Ok(()),
        PublicKey::RSA(key) => Err(RequestError::Key(format!("RSA of {} bits", key.key_size()))),
        PublicKey::EC(_)
            if curve.as_ref().is_some_and(|c| *c == OID_EC_P256 || *c == OID_NIST_EC_P384) =>
        {
            Ok(())
        }
        PublicKey::EC(key) => Err(RequestError::Key(format!("ECDSA of {} bits", key.key_size()))),
        _ => Err(RequestError::Key(spki.algorithm.algorithm.to_id_string())),
    }
}
