//! What readers say about a book.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::client::Backend;
use crate::headers::forwarded;

const REVIEWS: [(&str, &str); 2] = [
    ("Reviewer1", "Two pairs of twins, one evening, and not one calm minute. I laughed aloud."),
    ("Reviewer2", "Quick and merry. Those who look for depth will find it in the later plays."),
];

/// The versions of this service.
#[derive(Clone, Copy, PartialEq, clap::ValueEnum)]
pub(crate) enum Version {
    /// No stars.
    V1,
    /// Black stars.
    V2,
    /// Red stars.
    V3,
}

impl Version {
    fn stars(self) -> Option<Stars> {
        match self {
            Self::V1 => None,
            Self::V2 => Some(Stars { color: "black", patience: Duration::from_secs(10) }),
            Self::V3 => Some(Stars { color: "red", patience: Duration::from_millis(2500) }),
        }
    }
}

struct Stars {
    color: &'static str,
    /// How long to wait for ratings. Longer in v2 than productpage waits for reviews: the
    /// sample's tutorial on injected delays finds this.
    patience: Duration,
}

/// What the handlers share.
pub(crate) struct App {
    stars: Option<Stars>,
    ratings: Backend,
    podname: String,
    clustername: String,
}

impl App {
    /// The pod's name is taken from `HOSTNAME`, the cluster's from `CLUSTER_NAME`.
    pub(crate) fn new(version: Version, ratings: Backend) -> Self {
        let env = |key| std::env::var(key).unwrap_or_else(|_| "unknown".to_owned());
        let (podname, clustername) = (env("HOSTNAME"), env("CLUSTER_NAME"));
        Self { stars: version.stars(), ratings, podname, clustername }
    }
}

/// `/reviews/{id}` and `/health`.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/reviews/{id}", get(reviews))
        .route("/health", get(async || Json(json!({"status": "reviews is healthy"}))))
        .with_state(Arc::new(app))
}

async fn reviews(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    incoming: HeaderMap,
) -> (StatusCode, Json<Value>) {
    let Ok(id) = id.parse::<u64>() else {
        let error = format!("product id: {id:?} is not a number");
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error })));
    };
    let mut reviews: Vec<Value> = REVIEWS
        .iter()
        .map(|(reviewer, text)| json!({"reviewer": reviewer, "text": text}))
        .collect();
    if let Some(stars) = &app.stars {
        let ratings = app.ratings.get(id, forwarded(&incoming), stars.patience).await.ok();
        for (review, (reviewer, _)) in reviews.iter_mut().zip(REVIEWS) {
            review["rating"] = rating(ratings.as_ref(), reviewer, stars.color);
        }
    }
    let answer = json!({
        "id": id.to_string(),
        "podname": app.podname,
        "clustername": app.clustername,
        "reviews": reviews,
    });
    (StatusCode::OK, Json(answer))
}

fn rating(ratings: Option<&Value>, reviewer: &str, color: &str) -> Value {
    match ratings.and_then(|answer| answer["ratings"][reviewer].as_u64()) {
        Some(stars) => json!({"stars": stars, "color": color}),
        None => json!({"error": "no rating: the ratings service gave none"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rating_shows_stars_or_says_that_there_are_none() {
        let answer = json!({"id": 0, "ratings": {"Reviewer1": 5}});
        let stars = rating(Some(&answer), "Reviewer1", "red");
        assert_eq!(stars, json!({"stars": 5, "color": "red"}));
        assert!(rating(Some(&answer), "Reviewer2", "red")["error"].is_string());
        assert!(rating(None, "Reviewer1", "red")["error"].is_string());
    }
}
