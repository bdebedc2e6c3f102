use std::sync::Arc;

use mesh_tls::CertificateDetails;
use rcgen::{CertificateParams, KeyPair, SanType};

use super::*;

/// A connection on which these showed certificates with these URIs.
pub(crate) fn info(own: &str, peer: Option<&str>) -> ConnectionInfo {
    let certificate = |uri: &str| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    };
    let own = Arc::new(CertificateDetails::parse(&certificate(own)).unwrap());
    ConnectionInfo::test("TLSv1.3", own, peer.map(certificate))
}
