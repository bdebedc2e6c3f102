//! Who asks for a certificate: by a token, or by the certificate that it has.

mod join;
mod review;

use mesh_tls::{PeerInfo, SpiffeError, SpiffeId};

pub use join::JoinTokens;
pub use review::Reviewer;

/// Somebody whose identity is proven.
#[derive(Debug)]
pub struct Caller {
    /// Who.
    pub id: SpiffeId,
    /// The pod that the token is for; unknown of a certificate.
    pub pod: Option<String>,
    /// How it was proven, for the log.
    pub by: &'static str,
}

/// Why nobody's identity is proven. The texts tell no secret.
#[derive(Debug, thiserror::Error)]
pub enum CallerError {
    /// Neither.
    #[error(
        "no credentials: send \"authorization: Bearer TOKEN\" with the pod's token, or a client \
         certificate of this mesh"
    )]
    Nothing,
    /// No token at all.
    #[error("the token is not one: {0}")]
    Form(&'static str),
    /// Nobody here has given it out, or it was taken back.
    #[error("the token is not known here: {0}")]
    Forged(String),
    /// It was good.
    #[error("the token has expired: read it from its file anew, it is renewed there")]
    Expired,
    /// It is for something else.
    #[error("the token is not for this: {0}")]
    Foreign(String),
    /// The certificate is good, but not a workload's of this mesh.
    #[error("the client certificate is not of this mesh: {0}")]
    Certificate(String),
    /// Whoever could tell does not answer.
    #[error("tokens cannot be checked now, try again: {0}")]
    Unavailable(String),
}

impl CallerError {
    /// For the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Nothing => "no_credentials",
            Self::Form(_) => "malformed_token",
            Self::Forged(_) => "forged_token",
            Self::Expired => "expired_token",
            Self::Foreign(_) => "foreign_token",
            Self::Certificate(_) => "foreign_certificate",
            Self::Unavailable(_) => "unavailable",
        }
    }
}

impl From<SpiffeError> for CallerError {
    fn from(error: SpiffeError) -> Self {
        Self::Foreign(error.to_string())
    }
}

/// Who a token or a certificate is for.
pub struct Authenticator {
    trust_domain: String,
    join: Option<JoinTokens>,
    review: Option<Reviewer>,
}

impl Authenticator {
    /// For identities of this trust domain, by these kinds of tokens.
    pub fn new(trust_domain: &str, join: Option<JoinTokens>, review: Option<Reviewer>) -> Self {
        Self { trust_domain: trust_domain.to_owned(), join, review }
    }

    /// Who calls. A certificate that is still valid is as good as a token, so that a renewal
    /// does not depend on one, as in Istio; `peer` is verified already.
    pub async fn authenticate(
        &self,
        token: Option<&str>,
        peer: Option<&PeerInfo>,
    ) -> Result<Caller, CallerError> {
        let by_token = match token {
            Some(token) => self.by_token(token).await,
            None => Err(CallerError::Nothing),
        };
        match (by_token, peer.and_then(PeerInfo::spiffe_id)) {
            (Ok(caller), _) => Ok(caller),
            (Err(refused), Some(Ok(id))) if id.trust_domain() == self.trust_domain => {
                tracing::debug!(%id, %refused, "taken by its certificate");
                Ok(Caller { id, pod: None, by: "certificate" })
            }
            (Err(CallerError::Nothing), Some(Ok(id))) => {
                Err(CallerError::Certificate(format!("it is for {id}")))
            }
            (Err(CallerError::Nothing), Some(Err(error))) => {
                Err(CallerError::Certificate(error.to_string()))
            }
            (Err(refused), _) => Err(refused),
        }
    }

    async fn by_token(&self, token: &str) -> Result<Caller, CallerError> {
        match (join::is_one(token), &self.join, &self.review) {
            (true, Some(join), _) => join.check(token, &self.trust_domain),
            (false, _, Some(review)) => review.check(token, &self.trust_domain).await,
            (true, None, _) => Err(CallerError::Foreign(
                "join tokens are not taken here (--join-tokens); send the service account's token"
                    .to_owned(),
            )),
            (false, _, None) => Err(CallerError::Foreign(
                "service account tokens are not taken here (--token-review); send a join token"
                    .to_owned(),
            )),
        }
    }
}
