//! The service that a user meets: the page, the login, and the API.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Form, Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::Backend;
use crate::headers::forwarded;
use crate::page;

/// How long a user waits for one part of the page.
const PATIENCE: Duration = Duration::from_secs(3);

/// The one book that this shop has.
pub(crate) const TITLE: &str = "The Comedy of Errors";
pub(crate) const ABOUT: &str = "Shakespeare's shortest play, and one of his first: \
    two masters and two servants, each pair twins, in a town that cannot tell them apart.";

/// The services that this one asks.
pub(crate) struct App {
    pub(crate) details: Backend,
    pub(crate) reviews: Backend,
    pub(crate) ratings: Backend,
}

/// `/`, `/productpage`, `/login`, `/logout`, `/health` and `/api/v1/products…`.
pub(crate) fn router(app: App) -> Router {
    Router::new()
        .route("/", get(async || Html(page::index())))
        .route("/index.html", get(async || Html(page::index())))
        .route("/productpage", get(productpage))
        .route("/login", post(login))
        .route("/logout", get(logout))
        .route("/health", get(async || "productpage is healthy"))
        .route("/api/v1/products", get(async || Json(products())))
        .route("/api/v1/products/{id}", get(product))
        .route("/api/v1/products/{id}/reviews", get(reviews))
        .route("/api/v1/products/{id}/ratings", get(ratings))
        .with_state(Arc::new(app))
}

fn products() -> Value {
    json!([{"id": 0, "title": TITLE, "descriptionHtml": page::escape(ABOUT)}])
}

async fn productpage(State(app): State<Arc<App>>, incoming: HeaderMap) -> Html<String> {
    let headers = outgoing(&incoming);
    let (details, reviews) = tokio::join!(
        app.details.get(0, headers.clone(), PATIENCE),
        app.reviews.get(0, headers.clone(), PATIENCE),
    );
    Html(page::productpage(details.ok().as_ref(), reviews.ok().as_ref(), user(&incoming)))
}

async fn product(State(app): State<Arc<App>>, Path(id): Path<String>, h: HeaderMap) -> Response {
    ask(&app.details, "details", &id, &h).await
}

async fn reviews(State(app): State<Arc<App>>, Path(id): Path<String>, h: HeaderMap) -> Response {
    ask(&app.reviews, "reviews", &id, &h).await
}

async fn ratings(State(app): State<Arc<App>>, Path(id): Path<String>, h: HeaderMap) -> Response {
    ask(&app.ratings, "ratings", &id, &h).await
}

// No second attempt: retries are the mesh's work, and one here would hide its faults.
async fn ask(backend: &Backend, what: &str, id: &str, incoming: &HeaderMap) -> Response {
    let Ok(id) = id.parse::<u64>() else {
        let error = format!("product id: {id:?} is not a number");
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": error }))).into_response();
    };
    match backend.get(id, outgoing(incoming), PATIENCE).await {
        Ok(answer) => Json(answer).into_response(),
        Err(unavailable) => {
            let error = format!("the {what} of this book cannot be had at the moment");
            (unavailable.status, Json(json!({ "error": error }))).into_response()
        }
    }
}

/// The headers for the next service: what is forwarded, and the user who is logged in.
fn outgoing(incoming: &HeaderMap) -> HeaderMap {
    let mut headers = forwarded(incoming);
    if let Some(user) = user(incoming)
        && let Ok(value) = HeaderValue::from_str(user)
    {
        headers.insert("end-user", value);
    }
    headers
}

fn user(incoming: &HeaderMap) -> Option<&str> {
    let cookies = incoming.get_all(header::COOKIE).iter().filter_map(|c| c.to_str().ok());
    let user = cookies
        .flat_map(|line| line.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix("user="))?;
    is_user_name(user).then_some(user)
}

fn is_user_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._@-".contains(c);
    (1..=64).contains(&name.len()) && name.chars().all(fits)
}

#[derive(Deserialize)]
struct Login {
    username: String,
}

// There is no password: the name only shows that rules can route by user.
async fn login(Form(login): Form<Login>) -> Response {
    let name = login.username.trim();
    if !is_user_name(name) {
        let error = "username: expected 1 to 64 of the characters a-z A-Z 0-9 . _ @ -\n";
        return (StatusCode::BAD_REQUEST, error).into_response();
    }
    let cookie = format!("user={name}; Path=/; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/productpage")).into_response()
}

async fn logout() -> Response {
    let cookie = "user=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0";
    ([(header::SET_COOKIE, cookie)], Redirect::to("/productpage")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_names_the_user_for_the_next_service() {
        let mut incoming = HeaderMap::new();
        incoming.insert("cookie", "theme=dark; user=jason".parse().unwrap());
        assert_eq!(outgoing(&incoming)["end-user"], "jason");
    }

    #[test]
    fn a_cookie_that_names_nobody_is_not_sent_on_as_user() {
        for cookie in ["user=", "user=a b", "user=<b>", "superuser=jason"] {
            let mut incoming = HeaderMap::new();
            incoming.insert("cookie", cookie.parse().unwrap());
            assert!(!outgoing(&incoming).contains_key("end-user"), "{cookie}");
        }
    }
}
