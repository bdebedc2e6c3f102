use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use crate::{SpiffeError, SpiffeId, name, pem};

/// What a certificate says of itself, for admin pages and logs. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateDetails {
    /// The subject's distinguished name as in RFC 2253, such as `CN=a,O=b`; often empty.
    pub subject: String,
    /// The issuer's distinguished name.
    pub issuer: String,
    /// The serial number in lower-case hexadecimal, as Envoy's `/certs` has it.
    pub serial: String,
    /// From when it is valid.
    pub not_before: SystemTime,
    /// Until when it is valid.
    pub not_after: SystemTime,
    /// Its names.
    pub names: SubjectAltNames,
    /// Whether it may issue others.
    pub is_ca: bool,
}

/// The subject alternative names of a certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectAltNames {
    /// URIs; a SPIFFE certificate has one.
    pub uris: Vec<String>,
    /// DNS names, with wildcards as they are.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// E-mail addresses.
    pub emails: Vec<String>,
}

/// Why a certificate cannot be read, or is no SPIFFE certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not X.509.
    #[error("not an X.509 certificate")]
    Form,
    /// A SPIFFE certificate has one URI (X.509-SVID specification, section 2).
    #[error("a SPIFFE certificate has one URI among its names; this one has {0}")]
    Uris(usize),
    /// The URI is no identity of a workload.
    #[error(transparent)]
    Spiffe(#[from] SpiffeError),
}

impl CertificateDetails {
    /// Reads a certificate.
    pub fn parse(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let parsed = parse(certificate)?;
        let validity = parsed.validity();
        Ok(Self {
            subject: name::rfc2253(parsed.subject()),
            issuer: name::rfc2253(parsed.issuer()),
            serial: serial(&parsed),
            not_before: pem::from_timestamp(validity.not_before.timestamp()),
            not_after: pem::from_timestamp(validity.not_after.timestamp()),
            names: names(&parsed)?,
            is_ca: parsed.is_ca(),
        })
    }
}

impl SubjectAltNames {
    /// The names of a certificate.
    pub fn parse(certificate: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        names(&parse(certificate)?)
    }

    /// The one workload that they name.
    pub fn spiffe_id(&self) -> Result<SpiffeId, CertificateError> {
        match &self.uris[..] {
            [uri] => Ok(uri.parse()?),
            uris => Err(CertificateError::Uris(uris.len())),
        }
    }
}

/// Whose certificate it is. Only after it was verified is this to be believed.
pub fn peer_spiffe_id(certificate: &CertificateDer<'_>) -> Result<SpiffeId, CertificateError> {
    SubjectAltNames::parse(certificate)?.spiffe_id()
}

pub(crate) fn parse<'a>(
    certificate: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], parsed)) => Ok(parsed),
        _ => Err(CertificateError::Form),
    }
}

fn names(certificate: &X509Certificate<'_>) -> Result<SubjectAltNames, CertificateError> {
    let mut names = SubjectAltNames::default();
    let extension = certificate.subject_alternative_name().map_err(|_| CertificateError::Form)?;
    for name in extension.iter().flat_map(|extension| &extension.value.general_names) {
        match name {
            GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
            GeneralName::DNSName(dns) => names.dns.push((*dns).to_owned()),
            GeneralName::RFC822Name(email) => names.emails.push((*email).to_owned()),
            GeneralName::IPAddress(octets) => names.ips.extend(address(octets)),
            _ => {}
        }
    }
    Ok(names)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from)).ok()
}

fn serial(certificate: &X509Certificate<'_>) -> String {
    let raw = certificate.raw_serial();
    // A leading zero only says that the number is positive.
    let raw = raw.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(raw);
    raw.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
