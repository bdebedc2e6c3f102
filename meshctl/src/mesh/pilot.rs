//! One control plane, asked over its API.

use std::time::Duration;

use anyhow::{Result, bail};
use mesh_proto::mesh::v1::rules_client::RulesClient;
use mesh_proto::mesh::v1::status_client::StatusClient;
use mesh_proto::mesh::v1::{self as api, Rollout};
use mesh_rules::RuleKey;
use mesh_rules::route::{ExistingRule, KnownService};
use tonic::transport::{Channel, Endpoint};

use crate::failure::NotRunning;

/// For an answer that needs no proxy.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a control plane.
#[derive(Debug, Clone)]
pub(super) struct Pilot {
    rules: RulesClient<Channel>,
    status: StatusClient<Channel>,
}

impl Pilot {
    /// Connects; `address` is `unix:PATH` or `http://HOST:PORT`.
    pub(super) async fn connect(address: &str) -> Result<Self> {
        let path = address.strip_prefix("unix:").map(|path| path.trim_start_matches("//"));
        if let Some(path) = path.filter(|path| !std::path::Path::new(path).exists()) {
            let message = format!(
                "no mesh is running here ({path} does not exist); start one with \
                 `meshctl local up`, or name a cluster with --context"
            );
            return Err(NotRunning(message).into());
        }
        let endpoint = match Endpoint::from_shared(address.to_owned()) {
            Ok(endpoint) => endpoint.connect_timeout(TIMEOUT),
            Err(_) => bail!("--pilot {address}: expected unix:PATH or http://HOST:PORT"),
        };
        let channel = endpoint.connect().await.map_err(|error| {
            let why = anyhow::Error::from(error);
            NotRunning(format!(
                "the control plane at {address} does not answer: {}",
                why.root_cause()
            ))
        })?;
        Ok(Self::over(channel))
    }

    /// Asks over what is connected already.
    pub(super) fn over(channel: Channel) -> Self {
        Self { rules: RulesClient::new(channel.clone()), status: StatusClient::new(channel) }
    }

    /// Every service with its versions.
    pub(super) async fn services(&mut self) -> Result<Vec<KnownService>> {
        let answer = self.status.list_services(timed(api::ListServicesRequest {})).await;
        let services = answer.map_err(said)?.into_inner().services;
        let known = services.into_iter().map(|service| KnownService {
            name: service.name,
            namespace: service.namespace,
            hostname: service.hostname,
            versions: service.versions,
            aliases: service.aliases,
        });
        Ok(known.collect())
    }

    /// Every rule, as it was written.
    pub(super) async fn rules(&mut self) -> Result<Vec<ExistingRule>> {
        let answer = self.rules.list(timed(api::ListRulesRequest::default())).await;
        let rules = answer.map_err(said)?.into_inner().rules;
        let existing = rules.into_iter().filter_map(|rule| {
            let key = rule.key?;
            let key = RuleKey { kind: key.kind, namespace: key.namespace, name: key.name };
            Some(ExistingRule { key, yaml: rule.yaml })
        });
        Ok(existing.collect())
    }

    /// Applies documents, all or none; gives the version to wait for.
    pub(super) async fn apply(&mut self, yaml: String, namespace: &str) -> Result<u64> {
        let default_namespace = namespace.to_owned();
        let request = api::ApplyRulesRequest { yaml, default_namespace, dry_run: false };
        Ok(self.rules.apply(timed(request)).await.map_err(said)?.into_inner().version)
    }

    /// Checks documents as [`Mesh::apply`] does, and changes nothing.
    pub(super) async fn check(&mut self, yaml: String, namespace: &str) -> Result<()> {
        let default_namespace = namespace.to_owned();
        let request = api::ApplyRulesRequest { yaml, default_namespace, dry_run: true };
        self.rules.apply(timed(request)).await.map(drop).map_err(said)
    }

    /// Removes a rule, unless another needs it or it is a `dry_run`; gives the version to wait for.
    pub(super) async fn delete(&mut self, key: RuleKey, dry_run: bool) -> Result<u64> {
        let RuleKey { kind, namespace, name } = key;
        let key = Some(api::RuleKey { kind, namespace, name });
        let request = timed(api::DeleteRuleRequest { key, dry_run });
        Ok(self.rules.delete(request).await.map_err(said)?.into_inner().version)
    }

    /// Waits until every proxy of this control plane that the change concerns has answered.
    pub(super) async fn rollout(&mut self, request: api::WatchRolloutRequest) -> Result<Rollout> {
        let mut stream = self.status.watch_rollout(request).await.map_err(said)?.into_inner();
        let mut last = Rollout::default();
        while let Some(rollout) = stream.message().await.map_err(said)? {
            last = rollout;
            if last.done {
                return Ok(last);
            }
        }
        bail!(
            "the control plane stopped before every proxy had answered ({} of {} had); \
             `meshctl proxy-status` shows the rest",
            last.acked,
            last.concerned
        )
    }

    /// Every connected proxy.
    pub(super) async fn proxies(&mut self) -> Result<Vec<api::Proxy>> {
        let answer = self.status.list_proxies(timed(api::ListProxiesRequest {})).await;
        Ok(answer.map_err(said)?.into_inner().proxies)
    }

    /// Rules that are refused.
    pub(super) async fn problems(&mut self) -> Result<Vec<api::Problem>> {
        let answer = self.status.list_problems(timed(api::ListProblemsRequest {})).await;
        Ok(answer.map_err(said)?.into_inner().problems)
    }
}

fn timed<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.set_timeout(TIMEOUT);
    request
}

/// The control plane's own words, without gRPC's around them.
fn said(status: tonic::Status) -> anyhow::Error {
    match status.code() {
        tonic::Code::Unavailable => {
            NotRunning(format!("the control plane went away: {}", status.message())).into()
        }
        _ => anyhow::Error::msg(status.message().to_owned()),
    }
}
