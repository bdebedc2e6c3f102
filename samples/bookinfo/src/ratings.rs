//! Stars for a book.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Map, Value, json};

/// As much as a small sample should remember.
const MAX_PRODUCTS: usize = 1000;

type Posted = Arc<Mutex<BTreeMap<u64, Map<String, Value>>>>;
type Answer = (StatusCode, Json<Value>);

/// `/ratings/{id}` (GET, POST) and `/health`. What is posted is kept in memory.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/ratings/{id}", get(read).post(write))
        .route("/health", get(async || Json(json!({"status": "ratings is healthy"}))))
        .with_state(Posted::default())
}

async fn read(State(posted): State<Posted>, Path(id): Path<String>) -> Answer {
    let Ok(id) = id.parse::<u64>() else {
        return refuse(format!("product id: {id:?} is not a number"));
    };
    let posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
    match posted.get(&id) {
        Some(ratings) => ok(id, &Value::Object(ratings.clone())),
        None => ok(id, &json!({"Reviewer1": 5, "Reviewer2": 4})),
    }
}

async fn write(State(posted): State<Posted>, Path(id): Path<String>, body: Bytes) -> Answer {
    let Ok(id) = id.parse::<u64>() else {
        return refuse(format!("product id: {id:?} is not a number"));
    };
    let ratings: Map<String, Value> = match serde_json::from_slice(&body) {
        Ok(ratings) => ratings,
        Err(error) => {
            return refuse(format!("expected a JSON object of reviewers and stars: {error}"));
        }
    };
    let mut posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
    if posted.len() >= MAX_PRODUCTS && !posted.contains_key(&id) {
        return refuse(format!("ratings are kept for {MAX_PRODUCTS} products only"));
    }
    let answer = ok(id, &Value::Object(ratings.clone()));
    posted.insert(id, ratings);
    answer
}

fn ok(id: u64, ratings: &Value) -> Answer {
    (StatusCode::OK, Json(json!({"id": id, "ratings": ratings})))
}

fn refuse(error: String) -> Answer {
    (StatusCode::BAD_REQUEST, Json(json!({ "error": error })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_posted_rating_is_read_back() {
        let state = Posted::default();
        let id = || Path("7".to_owned());
        let (_, Json(before)) = read(State(state.clone()), id()).await;
        assert_eq!(before, json!({"id": 7, "ratings": {"Reviewer1": 5, "Reviewer2": 4}}));
        let body = Bytes::from(r#"{"Reviewer1": 1}"#);
        assert_eq!(write(State(state.clone()), id(), body).await.0, StatusCode::OK);
        let (_, Json(after)) = read(State(state.clone()), id()).await;
        assert_eq!(after, json!({"id": 7, "ratings": {"Reviewer1": 1}}));
        let broken = write(State(state), id(), Bytes::from("[")).await;
        assert_eq!(broken.0, StatusCode::BAD_REQUEST);
    }
}
