//! What a certificate says, in Envoy's notation.

use std::fmt::Write as _;

use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256 as SUITE;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate, X509Name};

/// What logs and headers tell of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Certificate {
    pub(crate) uri_sans: Vec<String>,
    pub(crate) dns_sans: Vec<String>,
    /// RFC 2253.
    pub(crate) subject: String,
    /// RFC 2253.
    pub(crate) issuer: String,
    /// Hexadecimal, in lower case.
    pub(crate) serial: String,
}

impl Certificate {
    /// What cannot be read is empty: whoever checked the certificate could read it.
    pub(crate) fn new(der: &CertificateDer<'_>) -> Self {
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Self::default() };
        let mut found = Self {
            subject: rfc2253(certificate.subject()),
            issuer: rfc2253(certificate.issuer()),
            serial: hex(certificate.raw_serial()).trim_start_matches("00").to_owned(),
            ..Self::default()
        };
        let names = certificate.subject_alternative_name().ok().flatten();
        for name in names.iter().flat_map(|names| &names.value.general_names) {
            match name {
                GeneralName::URI(uri) => found.uri_sans.push((*uri).to_owned()),
                GeneralName::DNSName(name) => found.dns_sans.push((*name).to_owned()),
                _ => {}
            }
        }
        found
    }
}

/// SHA-256 in hexadecimal.
pub(crate) fn fingerprint(der: &CertificateDer<'_>) -> String {
    let sha256 = SUITE.tls13().map(|suite| suite.common.hash_provider.hash(der));
    sha256.map(|digest| hex(digest.as_ref())).unwrap_or_default()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The last part first, as OpenSSL's XN_FLAG_RFC2253.
fn rfc2253(name: &X509Name<'_>) -> String {
    let parts: Vec<_> = name.iter_rdn().collect();
    let part = |part: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        let attributes = part.iter().map(|attribute| {
            let oid = attribute.attr_type().to_id_string();
            let value = attribute.as_str().unwrap_or_default();
            format!("{}={}", short_name(&oid).unwrap_or(&oid), escaped(value))
        });
        attributes.collect::<Vec<_>>().join("+")
    };
    parts.into_iter().rev().map(part).collect::<Vec<_>>().join(",")
}

fn short_name(oid: &str) -> Option<&'static str> {
    Some(match oid {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "0.9.2342.19200300.100.1.25" => "DC",
        "0.9.2342.19200300.100.1.1" => "UID",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => return None,
    })
}

/// RFC 2253, section 2.4.
fn escaped(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, char) in value.chars().enumerate() {
        let is_special = matches!(char, ',' | '+' | '"' | '\\' | '<' | '>' | ';');
        if is_special || (at == 0 && matches!(char, ' ' | '#')) || (at == last && char == ' ') {
            text.push('\\');
        }
        text.push(char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, SanType};

    #[test]
    fn tells_who_it_is_of() {
        let mut params = CertificateParams::new(["a.test".to_owned()]).unwrap();
        let uri = "spiffe://cluster.local/ns/a/sa/b";
        params.subject_alt_names.push(SanType::URI(uri.try_into().unwrap()));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "Mesh, Inc.");
        params.distinguished_name.push(DnType::CommonName, "b");
        params.serial_number = Some(vec![0x0a, 0xff].into());
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().clone();
        let found = Certificate::new(&der);
        assert_eq!(found.uri_sans, [uri]);
        assert_eq!(found.dns_sans, ["a.test"]);
        assert_eq!(found.subject, "CN=b,O=Mesh\\, Inc.");
        assert_eq!(found.issuer, found.subject);
        assert_eq!(found.serial, "0aff");
        assert_eq!(fingerprint(&der).len(), 64);
    }

    #[test]
    fn what_is_no_certificate_says_nothing() {
        assert_eq!(Certificate::new(&vec![1, 2, 3].into()), Certificate::default());
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(fingerprint(&Vec::new().into()), empty);
    }
}
