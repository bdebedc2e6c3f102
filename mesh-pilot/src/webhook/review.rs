//! An AdmissionReview of `admission.k8s.io/v1`: the API server's question, and the answer.

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use k8s_openapi::ByteString;
use serde::Deserialize;
use serde_json::{Value, json};

const API_VERSION: &str = "admission.k8s.io/v1";
const KIND: &str = "AdmissionReview";
/// The API server cuts warnings, and all of them at 4 KiB.
const MAX_WARNINGS: usize = 16;

/// What the API server asks.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    /// To be given back.
    uid: String,
    /// What the object is.
    pub(super) kind: Kind,
    /// Its namespace, which the object need not say yet.
    #[serde(default)]
    pub(super) namespace: String,
    /// `CREATE`, `UPDATE`, `DELETE` or `CONNECT`.
    #[serde(default)]
    pub(super) operation: String,
    /// A part of the object, such as `status`.
    #[serde(default)]
    pub(super) sub_resource: String,
    /// The object; null when it is removed.
    #[serde(default)]
    pub(super) object: Value,
    /// As it was, when it is changed or removed.
    #[serde(default)]
    pub(super) old_object: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Kind {
    #[serde(default)]
    pub(super) group: String,
    pub(super) kind: String,
}

/// What is answered. That nothing is stored (`dryRun`) makes no difference: neither webhook
/// does anything but answer.
#[derive(Debug, Default)]
pub(super) struct Decision {
    /// Why it may not be stored.
    pub(super) refusal: Option<String>,
    /// JSON Patch (RFC 6902) on the object.
    pub(super) patch: Vec<Value>,
    /// For who is asking, one line each.
    pub(super) warnings: Vec<String>,
}

impl Decision {
    /// As it is.
    pub(super) fn allowed() -> Self {
        Self::default()
    }

    pub(super) fn refused(why: String) -> Self {
        Self { refusal: Some(why), ..Self::default() }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Review {
    api_version: String,
    kind: String,
    request: Option<Request>,
}

/// The request of a body. What is none is an HTTP error, in words that the API server passes
/// on.
pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Result<Request, (StatusCode, String)> {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = content_type.unwrap_or_default().split(';').next().unwrap_or_default();
    if !media_type.trim().eq_ignore_ascii_case("application/json") {
        let message = format!("the content is {media_type:?}, expected application/json\n");
        return Err((StatusCode::UNSUPPORTED_MEDIA_TYPE, message));
    }
    let bad = |message: String| (StatusCode::BAD_REQUEST, message);
    let review: Review = serde_json::from_slice(body)
        .map_err(|error| bad(format!("the body is no {KIND} in JSON: {error}\n")))?;
    if (review.api_version.as_str(), review.kind.as_str()) != (API_VERSION, KIND) {
        let (version, kind) = (review.api_version, review.kind);
        return Err(bad(format!("found {kind} {version}, expected {KIND} {API_VERSION}\n")));
    }
    match review.request {
        Some(request) if !request.uid.is_empty() => Ok(request),
        Some(_) => Err(bad("request.uid is empty, so that nobody could tell the answer\n".into())),
        None => Err(bad(format!("the {KIND} has no request\n"))),
    }
}

/// The answer.
pub(super) fn write(request: &Request, decision: Decision) -> Value {
    let Decision { refusal, patch, warnings } = decision;
    let mut response = json!({"uid": request.uid, "allowed": refusal.is_none()});
    if let Some(message) = refusal {
        response["status"] = json!({"code": 400, "reason": "BadRequest", "message": message});
    }
    if !patch.is_empty() {
        response["patchType"] = json!("JSONPatch");
        response["patch"] = json!(ByteString(Value::from(patch).to_string().into_bytes()));
    }
    if !warnings.is_empty() {
        response["warnings"] = warnings.into_iter().take(MAX_WARNINGS).collect();
    }
    json!({"apiVersion": API_VERSION, "kind": KIND, "response": response})
}
