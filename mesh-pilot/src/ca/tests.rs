//! What needs an API server, against a stub of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use super::{Authenticator, Reviewer, RootStore, SecretStore, roots};

type Secrets = Arc<Mutex<HashMap<String, Value>>>;

/// Reviews tokens and keeps Secrets, as the API server does.
struct ApiServer {
    client: kube::Client,
    secrets: Secrets,
}

impl ApiServer {
    async fn start() -> Self {
        let secrets = Secrets::default();
        let reviews = "/apis/authentication.k8s.io/v1/tokenreviews";
        let app = Router::new()
            .route(reviews, post(review))
            .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(get_secret))
            .route("/api/v1/namespaces/{namespace}/secrets", post(create_secret))
            .with_state(secrets.clone());
        Self { client: crate::cluster::client_of(app).await, secrets }
    }
}

fn failure(code: StatusCode) -> (StatusCode, Json<Value>) {
    let reason = match code {
        StatusCode::CONFLICT => "AlreadyExists",
        StatusCode::FORBIDDEN => "Forbidden",
        _ => "NotFound",
    };
    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure",
        "reason": reason, "message": reason, "code": code.as_u16()});
    (code, Json(status))
}

async fn get_secret(
    State(secrets): State<Secrets>,
    Path((_, name)): Path<(String, String)>,
) -> (StatusCode, Json<Value>) {
    match secrets.lock().unwrap().get(&name) {
        Some(secret) => (StatusCode::OK, Json(secret.clone())),
        None => failure(StatusCode::NOT_FOUND),
    }
}

async fn create_secret(
    State(secrets): State<Secrets>,
    Json(secret): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let name = secret["metadata"]["name"].as_str().unwrap().to_owned();
    let mut secrets = secrets.lock().unwrap();
    if secrets.contains_key(&name) {
        return failure(StatusCode::CONFLICT);
    }
    secrets.insert(name, secret.clone());
    (StatusCode::CREATED, Json(secret))
}

/// The token's middle part says what it is.
async fn review(Json(review): Json<Value>) -> (StatusCode, Json<Value>) {
    let token = review["spec"]["token"].as_str().unwrap();
    let asked = &review["spec"]["audiences"];
    let pod = json!({"authentication.kubernetes.io/pod-name": ["cart-0"],
        "authentication.kubernetes.io/pod-uid": ["1"]});
    let user = json!({"username": "system:serviceaccount:shop:cart",
        "groups": ["system:serviceaccounts"], "extra": pod});
    let mut status = json!({"authenticated": true, "audiences": asked, "user": user});
    match token.split('.').nth(1).unwrap() {
        "good" => {}
        "forged" => status = json!({"error": "[invalid bearer token, square/go-jose: error]"}),
        "expired" => status = json!({"error": "[service account token has expired]"}),
        "api" => status["audiences"] = json!(["https://kubernetes.default.svc"]),
        "old" => status["audiences"] = Value::Null,
        "node" => status["user"]["username"] = json!("system:node:a"),
        "unbound" => status["user"]["extra"] = json!({}),
        _ => return failure(StatusCode::INTERNAL_SERVER_ERROR),
    }
    (
        StatusCode::CREATED,
        Json(json!({"apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview", "metadata": {}, "spec": {"token": token}, "status": status})),
    )
}

#[tokio::test]
async fn a_service_account_token_is_what_the_api_server_says() {
    let server = ApiServer::start().await;
    let audiences = vec!["istio-ca".to_owned(), "mesh-ca".to_owned()];
    let reviewer = Reviewer::new(server.client, audiences);
    let authenticator = Authenticator::new("cluster.local", None, Some(reviewer));
    let caller = authenticator.authenticate(Some("a.good.c"), None).await.unwrap();
    assert_eq!(caller.id.to_string(), "spiffe://cluster.local/ns/shop/sa/cart");
    assert_eq!(caller.pod.as_deref(), Some("cart-0"));
    for (token, reason) in [
        ("a.forged.c", "forged_token"),
        ("a.expired.c", "expired_token"),
        ("a.api.c", "foreign_token"),
        ("a.old.c", "foreign_token"),
        ("a.node.c", "foreign_token"),
        ("a.unbound.c", "foreign_token"),
        ("a.trouble.c", "unavailable"),
        ("opaque", "malformed_token"),
        ("mesh-join.0123456789abcdef.0123456789abcdef", "foreign_token"),
    ] {
        let refused = authenticator.authenticate(Some(token), None).await.unwrap_err();
        assert_eq!(refused.reason(), reason, "{token}: {refused}");
    }
}

#[tokio::test]
async fn of_two_that_make_the_secret_at_once_both_have_the_first_ones_root() {
    let server = ApiServer::start().await;
    let store = || {
        let name = "mesh-system/mesh-ca-secret".parse().unwrap();
        RootStore::Secret(Box::new(SecretStore::new(server.client.clone(), name)))
    };
    let (one, other) = (store(), store());
    let (one, other) =
        tokio::join!(one.load_or_create("cluster.local"), other.load_or_create("cluster.local"));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert!(one == other);
    let later = store().load_or_create("cluster.local").await.unwrap();
    assert!(one == later && store().authority(&later).is_ok());
    assert_eq!(server.secrets.lock().unwrap().len(), 1);

    server.secrets.lock().unwrap().clear();
    let error = store().load().await.err().unwrap().to_string();
    assert!(error.contains("mesh-system/mesh-ca-secret is gone"), "{error}");
    let damaged = json!({"metadata": {"name": "mesh-ca-secret"}, "data": {"ca-cert.pem": "YQ=="}});
    server.secrets.lock().unwrap().insert("mesh-ca-secret".to_owned(), damaged);
    let error = store().load().await.err().unwrap().to_string();
    assert!(error.contains("no text \"ca-key.pem\""), "{error}");
}

#[tokio::test]
async fn what_was_published_is_asked_for_until_the_api_server_says_it() {
    let life = std::time::Duration::from_secs(86_400);
    let now = std::time::SystemTime::now();
    let root = mesh_tls::Authority::create("cluster.local", life, now).unwrap().root_pem();
    let map = json!({"metadata": {"name": "mesh-ca-root-cert"}, "data": {"root-cert.pem": root}});
    let answers = [failure(StatusCode::FORBIDDEN), (StatusCode::OK, Json(map))];
    let answers = Arc::new(Mutex::new(answers.into_iter()));
    let answer = async move || answers.lock().unwrap().next().unwrap();
    let map = "/api/v1/namespaces/mesh-system/configmaps/mesh-ca-root-cert";
    let client = crate::cluster::client_of(Router::new().route(map, get(answer))).await;
    let published = roots::published(client, "mesh-system").await.unwrap();
    assert_eq!(published.to_pem(), root);
}

#[test]
fn an_authority_of_the_users_own_in_either_layout() {
    use std::time::{Duration, SystemTime};
    let life = Duration::from_secs(86_400);
    let authority = mesh_tls::Authority::create("example.org", life, SystemTime::now()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let error = super::GivenFiles::in_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("ca-cert.pem") && error.contains("tls.crt"), "{error}");
    let layouts =
        [["tls.crt", "tls.key", "ca.crt"], ["ca-cert.pem", "ca-key.pem", "root-cert.pem"]];
    for [cert, key, root] in layouts {
        write(cert, authority.chain_pem());
        write(key, authority.key_pem());
        write(root, authority.root_pem());
        if cert == "ca-cert.pem" {
            // Istio's chain has the issuing certificate too.
            write("cert-chain.pem", authority.chain_pem() + &authority.root_pem());
        }
        let given = super::GivenFiles::in_folder(folder.path()).unwrap();
        assert_eq!(given.cert, folder.path().join(cert));
        let material = given.load().unwrap();
        assert_eq!(material.chain.matches("BEGIN CERTIFICATE").count(), 1);
        let given = RootStore::Given(given).authority(&material).unwrap();
        assert_eq!(given.root_pem(), authority.root_pem());
    }
}
