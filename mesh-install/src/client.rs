//! The way to a cluster.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio::time::timeout;

/// For an API server to take a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// For it to say of which version it is.
const ANSWER: Duration = Duration::from_secs(15);

/// Which cluster.
#[derive(Clone, Debug, Default)]
pub struct Connection {
    /// Another kubeconfig than `KUBECONFIG`'s, `~/.kube/config` or a pod's own account.
    pub kubeconfig: Option<PathBuf>,
    /// Another context than the current one.
    pub context: Option<String>,
}

/// There is no cluster to talk to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing says where a cluster is.
    #[error(
        "no cluster is named: {0}; set KUBECONFIG, or say --kubeconfig FILE, and --context NAME \
         when it has several"
    )]
    NoConfig(String),
    /// What is said cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    BadConfig(String),
    /// It does not answer.
    #[error(
        "the cluster at {url} does not answer: {reason}; `kubectl version` says the same, when \
             it is not about meshctl"
    )]
    NoAnswer {
        /// Its API server.
        url: String,
        /// What happened instead.
        reason: String,
    },
}

impl Connection {
    /// A client of a cluster that answers, and what it says of its version.
    ///
    /// # Errors
    /// When no cluster is named, or it does not answer within seconds.
    pub async fn connect(
        &self,
    ) -> Result<(Client, k8s_openapi::apimachinery::pkg::version::Info), ConnectError> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(CONNECT);
        let url = config.cluster_url.to_string();
        let client =
            Client::try_from(config).map_err(|error| ConnectError::BadConfig(explain(&error)))?;
        let reason = match timeout(ANSWER, client.apiserver_version()).await {
            Ok(Ok(version)) => return Ok((client, version)),
            Ok(Err(error)) => explain(&error),
            Err(_) => format!("it took the connection, and said nothing in {ANSWER:?}"),
        };
        Err(ConnectError::NoAnswer { url, reason })
    }

    async fn config(&self) -> Result<Config, ConnectError> {
        let no_config = |error: &dyn std::error::Error| ConnectError::NoConfig(deepest(error));
        let options =
            KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let read = match &self.kubeconfig {
            Some(file) => Some(Kubeconfig::read_from(file).map_err(|error| no_config(&error))?),
            None if self.context.is_some() => {
                Some(Kubeconfig::read().map_err(|error| no_config(&error))?)
            }
            None => None,
        };
        match read {
            Some(kubeconfig) => Config::from_custom_kubeconfig(kubeconfig, &options)
                .await
                .map_err(|error| ConnectError::BadConfig(error.to_string())),
            None => Config::infer().await.map_err(|error| no_config(&error)),
        }
    }
}

/// The API server's words, without the client's around them.
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("{} {}", status.code, status.reason),
        error => deepest(error),
    }
}

/// The last cause is what happened.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
