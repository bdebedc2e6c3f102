//! The Rules service, over what the platform adapter keeps.

use std::sync::Arc;

use mesh_proto::mesh::v1::{
    self as wire, ApplyRulesRequest, ApplyRulesResponse, DeleteRuleRequest, DeleteRuleResponse,
    GetRuleRequest, GetRuleResponse, ListRulesRequest, ListRulesResponse, rules_server,
};
use mesh_rules::RuleKey;
use tonic::{Request, Response, Status};
use tracing::info;

use super::convert;
use crate::platform::{PlatformAdapter, StoreError, StoredRule};

pub(super) struct Rules<P> {
    pub(super) platform: Arc<P>,
}

#[tonic::async_trait]
impl<P: PlatformAdapter> rules_server::Rules for Rules<P> {
    async fn list(
        &self,
        request: Request<ListRulesRequest>,
    ) -> Result<Response<ListRulesResponse>, Status> {
        let ListRulesRequest { kind, namespace } = request.into_inner();
        let mut rules = self.platform.rules();
        rules.retain(|rule| {
            (kind.is_empty() || rule.key.kind == kind)
                && (namespace.is_empty() || rule.key.namespace == namespace)
        });
        Ok(Response::new(ListRulesResponse { rules: rules.into_iter().map(to_wire).collect() }))
    }

    async fn get(
        &self,
        request: Request<GetRuleRequest>,
    ) -> Result<Response<GetRuleResponse>, Status> {
        let key = convert::key("key", request.into_inner().key)?;
        let rule = self.platform.rules().into_iter().find(|rule| rule.key == key);
        let rule = rule.ok_or_else(|| status(StoreError::NotFound(key)))?;
        Ok(Response::new(GetRuleResponse { rule: Some(to_wire(rule)) }))
    }

    async fn apply(
        &self,
        request: Request<ApplyRulesRequest>,
    ) -> Result<Response<ApplyRulesResponse>, Status> {
        let ApplyRulesRequest { yaml, default_namespace, dry_run } = request.into_inner();
        let namespace = match default_namespace.is_empty() {
            true => "default",
            false => &default_namespace,
        };
        let applied = self.platform.apply(&yaml, namespace, dry_run).await.map_err(status)?;
        if !dry_run {
            let rules: Vec<_> = applied.keys.iter().map(ToString::to_string).collect();
            info!(rules = rules.join(", "), snapshot = applied.version, "rules applied");
        }
        Ok(Response::new(ApplyRulesResponse {
            applied: applied.keys.into_iter().map(key_to_wire).collect(),
            version: applied.version,
        }))
    }

    async fn delete(
        &self,
        request: Request<DeleteRuleRequest>,
    ) -> Result<Response<DeleteRuleResponse>, Status> {
        let DeleteRuleRequest { key, dry_run } = request.into_inner();
        let key = convert::key("key", key)?;
        let version = self.platform.delete(&key, dry_run).await.map_err(status)?;
        if !dry_run {
            info!(rule = %key, snapshot = version, "rule deleted");
        }
        Ok(Response::new(DeleteRuleResponse { version }))
    }
}

fn key_to_wire(RuleKey { kind, namespace, name }: RuleKey) -> wire::RuleKey {
    wire::RuleKey { kind, namespace, name }
}

fn to_wire(StoredRule { key, yaml }: StoredRule) -> wire::Rule {
    wire::Rule { key: Some(key_to_wire(key)), yaml }
}

fn status(error: StoreError) -> Status {
    let message = error.to_string();
    match error {
        StoreError::Refused(_) => Status::invalid_argument(message),
        StoreError::NotFound(_) => Status::not_found(message),
        StoreError::NotOurs { .. } | StoreError::Elsewhere => Status::failed_precondition(message),
        StoreError::Io { .. } => Status::internal(message),
    }
}
