//! The Kubernetes API server: how it is reached, and what it means when it says no.

mod condition;
mod trouble;
mod watch;

use std::error::Error;
use std::fmt::Display;
use std::time::Duration;

use anyhow::Context;
use tokio::time::sleep;
use tracing::warn;

pub(crate) use condition::{condition, now};
pub(crate) use trouble::Unwatched;
pub(crate) use watch::{Delta, ObjectName, Source, follow};

/// By this name the API server knows what is ours of an object that others write too.
pub(crate) const FIELD_MANAGER: &str = "mesh-pilot";
/// An API server that is gone without a word must not be waited for longer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// After an answer that was none.
const AGAIN: Duration = Duration::from_secs(1);

/// A client of the API server that KUBECONFIG or the pod's own service account leads to.
pub async fn client() -> anyhow::Result<kube::Client> {
    let mut config = kube::Config::infer().await.context(
        "there is no Kubernetes API server to ask: set KUBECONFIG, or run in a pod with a \
         service account",
    )?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    kube::Client::try_from(config).context("cannot make a client of the Kubernetes API server")
}

/// What an error of the API server's client means, in one line. Of a missing right the API
/// server says itself which one it is.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => chain(other),
    }
}

/// Asks until there is an answer, however long the API server is away or does not let us: a
/// pilot may start before its rights, and another start would make nothing better. What is
/// `missing` meanwhile is said once for each error. Dropping it ends it.
pub(crate) async fn persist<T, E: Display, F: Future<Output = Result<T, E>>>(
    missing: &str,
    ask: impl Fn() -> F,
) -> T {
    let mut said = String::new();
    loop {
        let error = match ask().await {
            Ok(answer) => return answer,
            Err(error) => error.to_string(),
        };
        if error != said {
            warn!(error, "{missing}; trying again");
            said = error;
        }
        sleep(AGAIN).await;
    }
}

/// Whether nothing new can be made in a namespace because it is being removed.
pub(crate) fn is_ending(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating")
}

/// An error and what is behind it.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let cause = error.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
        behind = error.source();
    }
    text
}

/// A client of a stub of the API server.
#[cfg(test)]
pub(crate) async fn client_of(stub: axum::Router) -> kube::Client {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, stub).await });
    mesh_tls::install();
    kube::Client::try_from(kube::Config::new(uri.parse().unwrap())).unwrap()
}

#[cfg(test)]
mod tests;
