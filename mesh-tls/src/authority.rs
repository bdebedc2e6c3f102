use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use aws_lc_rs::rand;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::{CertificateDer, UnixTime};

use crate::certificate::{self, CertificateDetails, CertificateError};
use crate::{
    BundleError, CertificateRequest, Credentials, CredentialsError, Identity, KeyError, PrivateKey,
    SanMatcher, SpiffeId, TrustBundle, client_verifier, pem,
};

/// Clocks differ: a certificate is valid from so long before it was made.
const BACKDATE: Duration = Duration::from_secs(120);
const MIN_LIFETIME: Duration = Duration::from_secs(1);

/// A certificate authority: a root of its own, or an intermediate under somebody else's.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    key: PrivateKey,
    /// The issuing certificate first, up to but without the root, when there is another.
    intermediates: Vec<CertificateDer<'static>>,
    root: CertificateDer<'static>,
    not_after: SystemTime,
}

/// Why there is no authority, or it does not sign.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The key.
    #[error("the authority's key: {0}")]
    Key(#[from] KeyError),
    /// The chain and the key.
    #[error("the authority's chain: {0}")]
    Chain(#[from] CredentialsError),
    /// The root.
    #[error("the authority's root: {0}")]
    Root(#[from] BundleError),
    /// One of its certificates cannot be read.
    #[error("the authority's chain: {0}")]
    Certificate(#[from] CertificateError),
    /// The issuing certificate must not issue.
    #[error("the authority's certificate is not one of an authority (CA:TRUE, keyCertSign)")]
    NotAuthority,
    /// What it issues is not trusted by its root.
    #[error("what the authority issues is not trusted by its root: {0}")]
    Untrusted(String),
    /// It has expired.
    #[error("the authority's own certificate has expired, or its clock is wrong")]
    Expired,
    /// The life asked for is too short.
    #[error("a certificate must live for at least a second; {0:?} was asked for")]
    Lifetime(Duration),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Sign(#[from] rcgen::Error),
}

/// Names of a certificate to issue.
struct Names<'a> {
    id: &'a SpiffeId,
    dns: &'a [String],
    ips: &'a [IpAddr],
}

impl Authority {
    /// A new root for a trust domain. `lifetime` is how long the root is trusted; `now` is
    /// the wall clock.
    pub fn create(
        trust_domain: &str,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let key = PrivateKey::generate()?;
        let mut params = params(now, now + lifetime)?;
        params.distinguished_name.push(DnType::OrganizationName, trust_domain);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let root = params.self_signed(&key.pair()?)?.pem();
        Self::from_pem(&root, &key.to_pem(), &root, now)
    }

    /// One that was kept, or given by the user. `chain` begins with the issuing certificate
    /// and may go up to the root; `root` is what the mesh trusts. All in PEM.
    pub fn from_pem(
        chain: &str,
        key: &str,
        root: &str,
        now: SystemTime,
    ) -> Result<Self, AuthorityError> {
        let credentials = Credentials::from_pem(chain, key)?;
        let bundle = TrustBundle::from_pem(root.as_bytes())?;
        let [issuing, ..] = credentials.chain() else { return Err(AuthorityError::NotAuthority) };
        check_may_issue(issuing)?;
        let root = top(credentials.chain(), &bundle)?;
        let intermediates: Vec<_> =
            credentials.chain().iter().filter(|&member| *member != root).cloned().collect();
        let mut not_after = CertificateDetails::parse(&root)?.not_after;
        for intermediate in &intermediates {
            not_after = not_after.min(CertificateDetails::parse(intermediate)?.not_after);
        }
        let key = credentials.key().clone();
        let issuer = Issuer::from_ca_cert_der(issuing, key.pair()?)?;
        let authority = Self { issuer, key, intermediates, root, not_after };
        authority.try_out(&bundle, now)?;
        Ok(authority)
    }

    /// Issues a certificate for the request's key and this identity, whatever names the
    /// request has (see [`CertificateRequest::check_identity`]). It lives for `lifetime`
    /// from `now`, but never longer than the authority. The chain in PEM: leaf first, root
    /// last.
    pub fn sign(
        &self,
        request: &CertificateRequest,
        id: &SpiffeId,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Vec<String>, AuthorityError> {
        let key = SubjectPublicKeyInfo::from_der(request.public_key())?;
        self.issue(&key, &Names { id, dns: &[], ips: &[] }, lifetime, now)
    }

    /// A key and a certificate for a server of the mesh's own, such as the control plane,
    /// which others find by name or address. Sent without the root.
    pub fn issue_serving(
        &self,
        id: &SpiffeId,
        dns: &[String],
        ips: &[IpAddr],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Identity, AuthorityError> {
        let key = PrivateKey::generate()?;
        let mut chain = self.issue(&key.pair()?, &Names { id, dns, ips }, lifetime, now)?;
        chain.pop();
        Ok(Identity::new(Credentials::new(&chain.concat(), key)?)?)
    }

    /// The root, which the mesh trusts.
    pub fn bundle(&self) -> TrustBundle {
        // It was taken from a bundle.
        TrustBundle::from_root(self.root.clone())
    }

    /// The root in PEM.
    pub fn root_pem(&self) -> String {
        pem::encode(&self.root)
    }

    /// The issuing certificate and those above it, root last, in PEM: what
    /// [`Authority::from_pem`] takes as chain.
    pub fn chain_pem(&self) -> String {
        self.intermediates.iter().chain([&self.root]).map(pem::encode).collect()
    }

    /// The key in PEM, for keeping. A secret.
    pub fn key_pem(&self) -> String {
        self.key.to_pem()
    }

    /// Until when it can issue.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    fn issue(
        &self,
        key: &impl PublicKeyData,
        names: &Names<'_>,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Vec<String>, AuthorityError> {
        if lifetime < MIN_LIFETIME {
            return Err(AuthorityError::Lifetime(lifetime));
        }
        if now >= self.not_after {
            return Err(AuthorityError::Expired);
        }
        let mut params = params(now, (now + lifetime).min(self.not_after))?;
        params.subject_alt_names = subject_alt_names(names)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.use_authority_key_identifier_extension = true;
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(key, &self.issuer)?.pem();
        let above = self.intermediates.iter().chain([&self.root]).map(pem::encode);
        Ok([leaf].into_iter().chain(above).collect())
    }

    /// Issues one and verifies it: an error now is better than a mesh that trusts nobody.
    fn try_out(&self, bundle: &TrustBundle, now: SystemTime) -> Result<(), AuthorityError> {
        let id = SpiffeId::new("try", "out", "only").map_err(CertificateError::from)?;
        let tried = self.issue_serving(&id, &[], &[], Duration::from_secs(60), now)?;
        let at = UnixTime::since_unix_epoch(
            now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default(),
        );
        let nobody: &[SanMatcher] = &[];
        let verifier = client_verifier(Some(bundle), nobody, true);
        let chain = tried.credentials().chain();
        verifier
            .verify_client_cert(&chain[0], &chain[1..], at)
            .map_err(|error| AuthorityError::Untrusted(error.to_string()))?;
        Ok(())
    }
}

fn params(now: SystemTime, not_after: SystemTime) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.not_before = pem::to_offset(now.checked_sub(BACKDATE).unwrap_or(now));
    params.not_after = pem::to_offset(not_after);
    params.serial_number = Some(serial_number()?);
    Ok(params)
}

/// Unpredictable and positive (RFC 5280, section 4.1.2.2).
fn serial_number() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn subject_alt_names(names: &Names<'_>) -> Result<Vec<SanType>, AuthorityError> {
    let mut all = vec![SanType::URI(names.id.to_string().try_into()?)];
    for dns in names.dns {
        all.push(SanType::DnsName(dns.as_str().try_into()?));
    }
    all.extend(names.ips.iter().copied().map(SanType::IpAddress));
    Ok(all)
}

fn check_may_issue(certificate: &CertificateDer<'_>) -> Result<(), AuthorityError> {
    let parsed = certificate::parse(certificate)?;
    let usage = parsed.key_usage().map_err(|_| CertificateError::Form)?;
    match parsed.is_ca() && usage.is_none_or(|usage| usage.value.key_cert_sign()) {
        true => Ok(()),
        false => Err(AuthorityError::NotAuthority),
    }
}

/// The root that the chain leads to.
fn top(
    chain: &[CertificateDer<'static>],
    bundle: &TrustBundle,
) -> Result<CertificateDer<'static>, AuthorityError> {
    if let Some(member) = chain.iter().find(|&member| bundle.roots().contains(member)) {
        return Ok(member.clone());
    }
    let issuer = match chain.last() {
        Some(last) => certificate::parse(last)?.issuer().as_raw().to_vec(),
        None => return Err(AuthorityError::NotAuthority),
    };
    for root in bundle.roots() {
        if certificate::parse(root)?.subject().as_raw() == issuer {
            return Ok(root.clone());
        }
    }
    Err(AuthorityError::Untrusted(
        "no root has issued the last certificate of the chain".to_owned(),
    ))
}
