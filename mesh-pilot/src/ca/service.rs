//! Istio's `CreateCertificate`.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesh_proto::istio::v1::auth::istio_certificate_service_server::IstioCertificateService;
use mesh_proto::istio::v1::auth::{IstioCertificateRequest, IstioCertificateResponse};
use mesh_tls::{AuthorityError, CertificateRequest, PeerInfo, RequestError};
use tokio::sync::{Semaphore, watch};
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Response, Status};
use tracing::{info, warn};

use super::caller::{Authenticator, Caller, CallerError};
use super::limits::Limits;
use super::metrics::Metrics;
use super::rollover::Trust;

/// What a request may have; a CSR with an RSA key of 8192 bits has 3 KB.
const MAX_CSR: usize = 16 * 1024;
const MAX_TOKEN: usize = 16 * 1024;
/// Requests that are worked on at once; most of their time is the API server's.
const AT_ONCE: usize = 64;

/// For how long certificates are valid.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// When the request does not say.
    pub default: Duration,
    /// At most.
    pub longest: Duration,
}

impl Lifetimes {
    /// Certificates that are shorter would be renewed all the time.
    pub const SHORTEST: Duration = Duration::from_secs(10);

    fn of(&self, asked_seconds: i64) -> Duration {
        match u64::try_from(asked_seconds) {
            Ok(0) | Err(_) => self.default,
            Ok(seconds) => Duration::from_secs(seconds).clamp(Self::SHORTEST, self.longest),
        }
    }
}

/// Signs for those whose identity is proven, and nothing else than that.
pub struct CertificateService {
    pub(super) trust: watch::Receiver<Trust>,
    pub(super) authenticator: Authenticator,
    pub(super) lifetimes: Lifetimes,
    pub(super) metrics: Arc<Metrics>,
    limits: Limits,
    slots: Semaphore,
}

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error("the {what} is too large: {found} bytes, at most {MAX_CSR}")]
    TooLarge { what: &'static str, found: usize },
    #[error("too many requests: try again in {0:?}")]
    TooMany(Duration),
    #[error("the authority cannot sign: {0}")]
    Sign(#[from] AuthorityError),
}

impl Refusal {
    fn reason(&self) -> &'static str {
        match self {
            Self::Caller(error) => error.reason(),
            Self::Request(RequestError::Identity { .. }) => "foreign_identity",
            Self::Request(RequestError::Key(_)) => "weak_key",
            Self::Request(RequestError::Form | RequestError::Signature) => "not_a_request",
            Self::TooLarge { .. } => "too_large",
            Self::TooMany(_) => "too_many",
            Self::Sign(_) => "signing",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Caller(CallerError::Unavailable(_)) => Code::Unavailable,
            Self::Caller(_) => Code::Unauthenticated,
            Self::Request(RequestError::Identity { .. }) => Code::PermissionDenied,
            Self::Request(_) | Self::TooLarge { .. } => Code::InvalidArgument,
            Self::TooMany(_) => Code::ResourceExhausted,
            Self::Sign(_) => Code::Internal,
        }
    }
}

impl CertificateService {
    pub(super) fn new(
        trust: watch::Receiver<Trust>,
        authenticator: Authenticator,
        lifetimes: Lifetimes,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (limits, slots) = (Limits::default(), Semaphore::new(AT_ONCE));
        Self { trust, authenticator, lifetimes, metrics, limits, slots }
    }

    async fn create(
        &self,
        request: &IstioCertificateRequest,
        metadata: &MetadataMap,
        peer: Option<&PeerInfo>,
    ) -> Result<(Caller, Vec<String>), Refusal> {
        self.limits.take(address(peer), Instant::now()).map_err(Refusal::TooMany)?;
        let _slot =
            self.slots.try_acquire().map_err(|_| Refusal::TooMany(Duration::from_secs(1)))?;
        if request.csr.len() > MAX_CSR {
            return Err(Refusal::TooLarge { what: "CSR", found: request.csr.len() });
        }
        let caller = self.authenticator.authenticate(bearer(metadata)?, peer).await?;
        let csr = CertificateRequest::parse(&request.csr)?;
        csr.check_identity(&caller.id)?;
        let lifetime = self.lifetimes.of(request.validity_duration);
        let authority = Arc::clone(&self.trust.borrow().authority);
        let chain = authority.sign(&csr, &caller.id, lifetime, SystemTime::now())?;
        Ok((caller, chain))
    }
}

#[tonic::async_trait]
impl IstioCertificateService for CertificateService {
    async fn create_certificate(
        &self,
        request: Request<IstioCertificateRequest>,
    ) -> Result<Response<IstioCertificateResponse>, Status> {
        self.metrics.requested();
        let peer = request.extensions().get::<PeerInfo>();
        match self.create(request.get_ref(), request.metadata(), peer).await {
            Ok((caller, cert_chain)) => {
                self.metrics.issued();
                let Caller { id, pod, by } = caller;
                info!(%id, pod, by, address = %address(peer), "certificate issued");
                Ok(Response::new(IstioCertificateResponse { cert_chain }))
            }
            Err(refusal) => {
                self.metrics.refused(refusal.reason());
                let reason = refusal.reason();
                warn!(reason, address = %address(peer), "certificate refused: {refusal}");
                Err(Status::new(refusal.code(), refusal.to_string()))
            }
        }
    }
}

fn address(peer: Option<&PeerInfo>) -> IpAddr {
    peer.map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address.ip())
}

/// The token that was sent, if one was.
fn bearer(metadata: &MetadataMap) -> Result<Option<&str>, Refusal> {
    let Some(value) = metadata.get("authorization") else { return Ok(None) };
    if value.as_bytes().len() > MAX_TOKEN {
        return Err(Refusal::TooLarge { what: "token", found: value.as_bytes().len() });
    }
    let text = value.to_str().map_err(|_| CallerError::Form("expected ASCII"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    match scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() {
        true => Ok(Some(token.trim())),
        false => Err(CallerError::Form("expected \"authorization: Bearer TOKEN\"").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_given_within_bounds() {
        let [default, longest] = [86_400, 90 * 86_400].map(Duration::from_secs);
        let lifetimes = Lifetimes { default, longest };
        assert_eq!(lifetimes.of(0), default);
        assert_eq!(lifetimes.of(-1), default);
        assert_eq!(lifetimes.of(3600).as_secs(), 3600);
        assert_eq!(lifetimes.of(1).as_secs(), 10);
        assert_eq!(lifetimes.of(i64::MAX), longest);
    }

    #[test]
    fn a_token_is_a_bearers() {
        let of = |value: &str| {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", value.parse().unwrap());
            bearer(&metadata).map(|token| token.map(str::to_owned)).map_err(|e| e.reason())
        };
        assert_eq!(of("Bearer abc").unwrap().unwrap(), "abc");
        assert_eq!(of("bearer  abc ").unwrap().unwrap(), "abc");
        for bad in ["Basic abc", "Bearer", "Bearer  ", "abc"] {
            assert_eq!(of(bad).unwrap_err(), "malformed_token", "{bad}");
        }
        assert_eq!(of(&format!("Bearer {}", "a".repeat(MAX_TOKEN))).unwrap_err(), "too_large");
        assert!(bearer(&MetadataMap::new()).unwrap().is_none());
    }
}
