//! The metrics of the whole pod on one page: the agent's, the proxy's and the
//! application's. Prometheus cannot reach the application itself where the mesh asks for
//! mTLS, so that injection points it here (Istio's metrics merging).

mod lines;
mod own;
mod scrape;
mod target;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;

use super::Shared;
use lines::Lines;
use own::Own;
use scrape::Scraped;
pub(super) use target::Target;

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text";

/// Prometheus says how long it waits; who does not, waits this long.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_PATIENCE: Duration = Duration::from_secs(60);
/// Of a caller's patience; the rest is for what did answer to arrive.
const SHARE: f64 = 0.8;

/// The agent's own metrics, and where the application's are.
pub(super) struct Metrics {
    application: Option<Target>,
    own: Own,
}

impl Metrics {
    pub(super) fn new(application: Option<Target>) -> Self {
        Self { application, own: Own::default() }
    }

    pub(super) fn proxy_started(&self) {
        self.own.proxy_starts.add();
    }

    pub(super) fn probe_failed(&self) {
        self.own.probe_failures.add();
    }
}

/// The page. What does not answer in time, or not with metrics, is left out and counted.
pub(super) async fn merged(State(shared): State<Arc<Shared>>, headers: HeaderMap) -> Response {
    let until = Instant::now() + patience(&headers);
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let openmetrics = accept.contains(OPENMETRICS);
    let (proxy, application) = tokio::join!(
        within(until, scrape::proxy(&shared.admin)),
        within(until, async {
            match &shared.metrics.application {
                Some(target) => {
                    scrape::application(target, &shared.application, openmetrics).await.map(Some)
                }
                None => Ok(None),
            }
        }),
    );
    let own = &shared.metrics.own;
    let proxy = own.proxy_scrape_failures.unless(proxy, "the proxy's");
    let application =
        own.application_scrape_failures.unless(application, "the application's").flatten();
    let openmetrics = application.as_ref().and_then(|scraped| scraped.openmetrics.clone());
    let content_type = openmetrics.clone().unwrap_or(HeaderValue::from_static(TEXT));
    let (page, chunks) = mpsc::channel(4);
    let page = Page { chunks: page, openmetrics: openmetrics.is_some(), until };
    tokio::spawn(async move {
        // That the reader has gone ends it, too.
        let _ = page.write(&shared, proxy, application).await;
    });
    let body = Body::from_stream(ReceiverStream::new(chunks).map(Ok::<_, Infallible>));
    ([(CONTENT_TYPE, content_type)], body).into_response()
}

fn patience(headers: &HeaderMap) -> Duration {
    let said = headers
        .get("x-prometheus-scrape-timeout-seconds")
        .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    said.unwrap_or(PATIENCE).min(MAX_PATIENCE).mul_f64(SHARE)
}

async fn within<T>(
    until: Instant,
    done: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<T> {
    tokio::time::timeout_at(until, done).await.unwrap_or_else(|_| Err(anyhow::anyhow!("too slow")))
}

/// The reader has gone.
struct Gone;

struct Page {
    chunks: mpsc::Sender<Bytes>,
    openmetrics: bool,
    until: Instant,
}

impl Page {
    async fn write(
        &self,
        shared: &Shared,
        proxy: Option<Scraped>,
        application: Option<Scraped>,
    ) -> Result<(), Gone> {
        let own = &shared.metrics.own;
        self.send(own.text(self.openmetrics).into()).await?;
        if let Some(proxy) = proxy {
            let lines = Lines::new(self.openmetrics);
            let done = self.copy(proxy, lines).await?;
            own.proxy_scrape_failures.unless(done, "the proxy's");
        }
        if let Some(application) = application {
            let done = self.copy(application, Lines::new(false)).await?;
            own.application_scrape_failures.unless(done, "the application's");
        }
        if self.openmetrics {
            self.send(Bytes::from_static(b"# EOF\n")).await?;
        }
        Ok(())
    }

    /// Line by line, so that one who breaks off in the middle of one spoils nothing.
    async fn copy(&self, mut from: Scraped, mut lines: Lines) -> Result<anyhow::Result<()>, Gone> {
        loop {
            match within(self.until, from.next()).await {
                Ok(Some(bytes)) => match lines.push(&bytes) {
                    Ok(whole) => self.send(whole).await?,
                    Err(error) => return Ok(Err(error.into())),
                },
                Ok(None) => {
                    self.send(lines.end()).await?;
                    return Ok(Ok(()));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    async fn send(&self, bytes: Bytes) -> Result<(), Gone> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.chunks.send(bytes).await.map_err(|_| Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_answers_before_the_caller_gives_up() {
        let patience = |seconds: &'static str| {
            let name = "x-prometheus-scrape-timeout-seconds";
            patience(
                &[(name.parse().unwrap(), HeaderValue::from_static(seconds))].into_iter().collect(),
            )
        };
        assert_eq!(patience("5"), Duration::from_secs(4));
        assert_eq!(patience("soon"), Duration::from_secs(8));
        assert_eq!(patience("-1"), Duration::from_secs(8));
        assert_eq!(patience("1e9"), Duration::from_secs(48));
    }
}
