//! Service account tokens, checked by the API server (TokenReview).

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{
    TokenReview, TokenReviewSpec, TokenReviewStatus, UserInfo,
};
use kube::api::{Api, PostParams};
use mesh_tls::SpiffeId;
use tokio::time::timeout;

use super::{Caller, CallerError};

/// A projected token names the pod that it was made for here.
const POD: &str = "authentication.kubernetes.io/pod-name";
const USER: &str = "system:serviceaccount:";
const TIMEOUT: Duration = Duration::from_secs(5);

/// Asks the API server.
pub struct Reviewer {
    api: Api<TokenReview>,
    audiences: Vec<String>,
}

impl Reviewer {
    /// For tokens with one of these audiences.
    pub fn new(client: kube::Client, audiences: Vec<String>) -> Self {
        Self { api: Api::all(client), audiences }
    }

    /// Whose token it is.
    pub(super) async fn check(
        &self,
        token: &str,
        trust_domain: &str,
    ) -> Result<Caller, CallerError> {
        if token.bytes().filter(|b| *b == b'.').count() != 2 {
            return Err(CallerError::Form("expected a service account's JWT, or a join token"));
        }
        let spec =
            TokenReviewSpec { token: token.to_owned(), audiences: Some(self.audiences.clone()) };
        let review = TokenReview { spec, ..TokenReview::default() };
        let params = PostParams::default();
        let answer = match timeout(TIMEOUT, self.api.create(&params, &review)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                // The error may quote the request.
                tracing::error!("the API server does not review tokens: {}", describe(&error));
                return Err(CallerError::Unavailable("the API server refuses".to_owned()));
            }
            Err(_) => return Err(CallerError::Unavailable("the API server is slow".to_owned())),
        };
        caller(answer.status.unwrap_or_default(), &self.audiences, trust_domain)
    }
}

fn describe(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        kube::Error::HyperError(error) => error.to_string(),
        kube::Error::Service(error) => error.to_string(),
        _ => "no usable answer".to_owned(),
    }
}

fn caller(
    status: TokenReviewStatus,
    audiences: &[String],
    trust_domain: &str,
) -> Result<Caller, CallerError> {
    if !status.authenticated.unwrap_or_default() {
        let error = status.error.unwrap_or_else(|| "no reason given".to_owned());
        return Err(match error.contains("expired") {
            true => CallerError::Expired,
            // Words of the API server on a token; it does not quote tokens.
            false => CallerError::Forged(error.chars().take(256).collect()),
        });
    }
    // An API server that does not know audiences names none.
    if !status.audiences.iter().flatten().any(|audience| audiences.contains(audience)) {
        let wanted = audiences.join(" or ");
        return Err(CallerError::Foreign(format!("its audience is not {wanted}")));
    }
    let user = status.user.unwrap_or_default();
    let (namespace, account) = service_account(&user)?;
    let id = SpiffeId::new(trust_domain, namespace, account)?;
    let pod = user.extra.as_ref().and_then(|extra| extra.get(POD)?.first().cloned());
    match pod.filter(|pod| !pod.is_empty()) {
        Some(pod) => Ok(Caller { id, pod: Some(pod), by: "service account token" }),
        None => Err(CallerError::Foreign(
            "it is not bound to a pod; mount it as a projected volume".to_owned(),
        )),
    }
}

fn service_account(user: &UserInfo) -> Result<(&str, &str), CallerError> {
    let name = user.username.as_deref().unwrap_or_default();
    let account = name.strip_prefix(USER).and_then(|name| name.split_once(':'));
    account.ok_or_else(|| CallerError::Foreign("it is not a service account's".to_owned()))
}
