//! Asking another service, over pooled keep-alive connections.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde_json::Value;

/// No answer of this application comes near it.
const MAX_BODY: usize = 1 << 20;

/// A service that this one asks.
#[derive(Clone)]
pub(crate) struct Backend {
    /// "http://reviews:9080/reviews", to which "/0" is added.
    url: String,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Backend {
    /// The service `name` at `http://name:9080`. The environment can change the parts:
    /// `REVIEWS_HOSTNAME`, `REVIEWS_SERVICE_PORT`, and `SERVICES_DOMAIN`, which is added to
    /// the host name after a dot.
    ///
    /// # Errors
    /// When these do not make a URL.
    pub(crate) fn from_env(name: &str) -> anyhow::Result<Self> {
        let url = url(name, |key| std::env::var(key).ok());
        url.parse::<hyper::Uri>()
            .with_context(|| format!("{url} is not a URL: check the environment of {name}"))?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(30))
            .build_http();
        Ok(Self { url, client })
    }

    /// GETs the entry `id` with these headers and takes the answer as JSON.
    ///
    /// # Errors
    /// When the status is not 200, when the body is not JSON, and after `timeout`.
    pub(crate) async fn get(
        &self,
        id: u64,
        headers: HeaderMap,
        timeout: Duration,
    ) -> Result<Value, Unavailable> {
        let answer = match tokio::time::timeout(timeout, self.fetch(id, headers)).await {
            Ok(answer) => answer,
            Err(_) => Err(anyhow::anyhow!("no answer after {timeout:?}")),
        };
        answer.map_err(|error| {
            tracing::warn!("{}/{id}: {error:#}", self.url);
            let status = error.downcast_ref::<Status>().map(|s| s.0);
            Unavailable { status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) }
        })
    }

    async fn fetch(&self, id: u64, headers: HeaderMap) -> anyhow::Result<Value> {
        let mut request = Request::get(format!("{}/{id}", self.url)).body(Empty::<Bytes>::new())?;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await?;
        if response.status() != StatusCode::OK {
            bail!(Status(response.status()));
        }
        let body = Limited::new(response.into_body(), MAX_BODY)
            .collect()
            .await
            .map_err(|error| anyhow::anyhow!("reading the body: {error}"))?;
        serde_json::from_slice(&body.to_bytes()).context("the body is not JSON")
    }
}

fn url(name: &str, env: impl Fn(&str) -> Option<String>) -> String {
    let upper = name.to_uppercase();
    let set = |key: &str| env(key).filter(|value| !value.is_empty());
    let host = set(&format!("{upper}_HOSTNAME")).unwrap_or_else(|| name.to_owned());
    let domain = set("SERVICES_DOMAIN").map(|domain| format!(".{domain}")).unwrap_or_default();
    // Kubernetes also sets this name, to the port of the service.
    let port = set(&format!("{upper}_SERVICE_PORT")).unwrap_or_else(|| "9080".to_owned());
    format!("http://{host}{domain}:{port}/{name}")
}

/// Another service gave no usable answer.
pub(crate) struct Unavailable {
    /// Its status; 500 when there was none.
    pub(crate) status: StatusCode,
}

#[derive(Debug)]
struct Status(StatusCode);

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answered {}", self.0)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_changes_the_url() {
        assert_eq!(url("reviews", |_| None), "http://reviews:9080/reviews");
        let env = |key: &str| match key {
            "RATINGS_HOSTNAME" => Some("scores".to_owned()),
            "SERVICES_DOMAIN" => Some("shop.svc".to_owned()),
            "RATINGS_SERVICE_PORT" => Some("80".to_owned()),
            _ => None,
        };
        assert_eq!(url("ratings", env), "http://scores.shop.svc:80/ratings");
    }
}
