//! Facts about a book.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

/// `/details/{id}` and `/health`.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/details/{id}", get(details))
        .route("/health", get(async || Json(json!({"status": "details is healthy"}))))
}

async fn details(Path(id): Path<String>) -> (StatusCode, Json<Value>) {
    let Ok(id) = id.parse::<u64>() else {
        let error = format!("product id: {id:?} is not a number");
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    };
    let book = json!({
        "id": id,
        "author": "William Shakespeare",
        "year": 1595,
        "type": "paperback",
        "pages": 200,
        "publisher": "PublisherA",
        "language": "English",
        "ISBN-10": "1234567890",
        "ISBN-13": "123-1234567890",
    });
    (StatusCode::OK, Json(book))
}
