//! A control plane that answers from a script, on a Unix socket.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use mesh_proto::mesh::v1::rules_server::{Rules, RulesServer};
use mesh_proto::mesh::v1::status_server::{Status, StatusServer};
use mesh_proto::mesh::v1::*;
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tokio_stream::{Stream, iter};
use tonic::{Request, Response};

type Answer<T> = Result<Response<T>, tonic::Status>;

/// Listens until it is dropped.
pub(crate) struct ControlPlane {
    folder: tempfile::TempDir,
    applied: Arc<Mutex<Vec<String>>>,
    _runtime: tokio::runtime::Runtime,
}

#[derive(Clone)]
struct Script {
    applied: Arc<Mutex<Vec<String>>>,
    rejection: Option<Rejection>,
}

impl ControlPlane {
    pub(crate) fn start(rejection: Option<Rejection>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let applied = Arc::<Mutex<Vec<String>>>::default();
        let script = Script { applied: Arc::clone(&applied), rejection };
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = {
            let _inside = runtime.enter();
            UnixListener::bind(folder.path().join("pilot.sock")).unwrap()
        };
        let server = tonic::transport::Server::builder()
            .add_service(RulesServer::new(script.clone()))
            .add_service(StatusServer::new(script));
        runtime.spawn(server.serve_with_incoming(UnixListenerStream::new(listener)));
        Self { folder, applied, _runtime: runtime }
    }

    /// The state folder to give to meshctl.
    pub(crate) fn state(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub(crate) fn applied(&self) -> Vec<String> {
        self.applied.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl Rules for Script {
    async fn list(&self, _: Request<ListRulesRequest>) -> Answer<ListRulesResponse> {
        let applied = self.applied.lock().unwrap();
        let rules = applied.iter().map(|yaml| Rule {
            key: Some(RuleKey {
                kind: "VirtualService".to_owned(),
                namespace: "default".to_owned(),
                name: "reviews".to_owned(),
            }),
            yaml: yaml.clone(),
        });
        Ok(Response::new(ListRulesResponse { rules: rules.collect() }))
    }

    async fn get(&self, _: Request<GetRuleRequest>) -> Answer<GetRuleResponse> {
        Err(tonic::Status::not_found("no such rule"))
    }

    async fn apply(&self, request: Request<ApplyRulesRequest>) -> Answer<ApplyRulesResponse> {
        let ApplyRulesRequest { yaml, dry_run, .. } = request.into_inner();
        if !dry_run {
            self.applied.lock().unwrap().push(yaml);
        }
        Ok(Response::new(ApplyRulesResponse { applied: Vec::new(), version: 7 }))
    }

    async fn delete(&self, request: Request<DeleteRuleRequest>) -> Answer<DeleteRuleResponse> {
        match request.into_inner().key.unwrap_or_default() {
            RuleKey { namespace, name, .. } if namespace == "default" && name == "reviews" => {
                self.applied.lock().unwrap().clear();
                Ok(Response::new(DeleteRuleResponse { version: 7 }))
            }
            key => Err(tonic::Status::not_found(format!("no such rule: {key:?}"))),
        }
    }
}

#[tonic::async_trait]
impl Status for Script {
    async fn list_proxies(&self, _: Request<ListProxiesRequest>) -> Answer<ListProxiesResponse> {
        let proxy = Proxy {
            pod: "reviews-v1-0".to_owned(),
            namespace: "default".to_owned(),
            version: "envoy 1.40.0".to_owned(),
            ..Default::default()
        };
        Ok(Response::new(ListProxiesResponse { proxies: vec![proxy] }))
    }

    async fn list_services(&self, _: Request<ListServicesRequest>) -> Answer<ListServicesResponse> {
        let service = Service {
            name: "reviews".to_owned(),
            namespace: "default".to_owned(),
            hostname: "reviews.default.svc.cluster.local".to_owned(),
            versions: ["v1", "v2", "v3"].map(str::to_owned).to_vec(),
            ..Default::default()
        };
        Ok(Response::new(ListServicesResponse { services: vec![service] }))
    }

    async fn list_problems(&self, _: Request<ListProblemsRequest>) -> Answer<ListProblemsResponse> {
        Ok(Response::new(ListProblemsResponse::default()))
    }

    type WatchRolloutStream = Pin<Box<dyn Stream<Item = Result<Rollout, tonic::Status>> + Send>>;

    async fn watch_rollout(
        &self,
        request: Request<WatchRolloutRequest>,
    ) -> Answer<Self::WatchRolloutStream> {
        assert_eq!(request.into_inner().version, 7);
        let first = Rollout { concerned: 6, ..Default::default() };
        let last = Rollout {
            concerned: 6,
            acked: 6,
            rejections: self.rejection.clone().into_iter().collect(),
            done: true,
            elapsed_ms: 30.9,
            refusals: Vec::new(),
        };
        Ok(Response::new(Box::pin(iter([Ok(first), Ok(last)]))))
    }
}
