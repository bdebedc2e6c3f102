//! Certificates of peers, and what comes in PEM: requests, chains, roots.
#![no_main]

use rustls_pki_types::CertificateDer;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let der = CertificateDer::from(bytes);
    let details = mesh_tls::CertificateDetails::parse(&der);
    assert_eq!(details.is_ok(), mesh_tls::SubjectAltNames::parse(&der).is_ok());
    let _ = mesh_tls::peer_spiffe_id(&der);
    let _ = mesh_tls::TrustBundle::from_pem(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = mesh_tls::CertificateRequest::parse(text);
        let _ = mesh_tls::Credentials::from_pem(text, text);
        let _ = text.parse::<mesh_tls::SpiffeId>();
    }
});
