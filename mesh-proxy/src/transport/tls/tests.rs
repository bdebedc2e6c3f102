use mesh_tls::Credentials;
use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;

/// A connection on which these showed certificates with these URIs.
pub(crate) fn info(own: &str, peer: Option<&str>) -> ConnectionInfo {
    let peer = peer.map(|uri| credentials(uri).chain()[0].clone());
    ConnectionInfo::test("TLSv1.3", credentials(own), peer)
}

/// A self-signed certificate for this URI.
pub(crate) fn credentials(uri: &str) -> Credentials {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    Credentials::from_pem(&certificate.pem(), &key.serialize_pem()).unwrap()
}
