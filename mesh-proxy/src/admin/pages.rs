//! Which page is where.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;

use super::Trim;
use super::query::Query;
use super::status::{Asked, Phase, Status};
use super::{certs, clusters, config_dump, listeners, server_info, stats};
use crate::server::DataPlane;
use crate::xds::State;

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) data_plane: DataPlane,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) status: Arc<Status>,
    pub(crate) trim: Trim,
}

/// Path and what it shows, for the index.
const INDEX: [(&str, &str); 11] = [
    ("/certs", "the certificates in use"),
    ("/clusters", "clusters and their endpoints (?format=json)"),
    ("/config_dump", "the configuration in force (?include_eds)"),
    ("/drain_listeners", "POST: stop listening; with ?graceful connections may end well"),
    ("/help", "this page"),
    ("/listeners", "listeners and their addresses (?format=json)"),
    ("/quitquitquit", "POST: drain and end"),
    ("/ready", "whether the proxy serves"),
    ("/server_info", "version, state, uptime, node"),
    ("/stats", "statistics (?filter=, ?usedonly, ?type=, ?format=json|prometheus)"),
    ("/stats/prometheus", "statistics for Prometheus"),
];

pub(super) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/help", get(index))
        .route("/ready", get(ready))
        .route("/server_info", get(server_info))
        .route("/certs", get(certs))
        .route("/config_dump", get(config_dump))
        .route("/clusters", get(clusters))
        .route("/listeners", get(listeners))
        .route("/stats", get(stats))
        .route("/stats/prometheus", get(prometheus))
        .route("/drain_listeners", post(drain_listeners))
        .route("/quitquitquit", post(quit))
        .with_state(pages)
}

impl Pages {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        let stage = self.state().stage();
        self.status.phase(stage)
    }
}

async fn index() -> Html<String> {
    let row = |(path, about): &(&str, &str)| {
        format!("<tr><td><a href=\"{path}\">{path}</a></td><td>{about}</td></tr>\n")
    };
    let rows: String = INDEX.iter().map(row).collect();
    Html(format!(
        "<!DOCTYPE html><title>mesh-proxy</title><h1>mesh-proxy</h1>\n<table>\n{rows}</table>\n"
    ))
}

async fn ready(Shared(pages): Shared<Pages>) -> (StatusCode, String) {
    let phase = pages.phase();
    let code = match phase {
        Phase::Live => StatusCode::OK,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, format!("{}\n", phase.name()))
}

async fn server_info(Shared(pages): Shared<Pages>) -> Response {
    json(&server_info::page(&pages))
}

async fn certs(Shared(pages): Shared<Pages>) -> Response {
    let answer = match certs::page(&pages) {
        Ok(page) => json(&page),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    };
    (pages.trim)();
    answer
}

async fn config_dump(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    let include_endpoints = Query::new(query).has("include_eds");
    let answer = match config_dump::page(&pages, include_endpoints) {
        Ok(page) => json(&page),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    };
    (pages.trim)();
    answer
}

async fn clusters(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    match Query::new(query).get("format") {
        Some("json") => json(&clusters::json(&pages)),
        _ => clusters::text(&pages).into_response(),
    }
}

async fn listeners(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    match Query::new(query).get("format") {
        Some("json") => json(&listeners::json(&pages)),
        _ => listeners::text(&pages).into_response(),
    }
}

async fn stats(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    let query = Query::new(query);
    pages.status.publish(pages.phase());
    let registry = &pages.data_plane.shared().registry;
    match query.get("format") {
        Some("prometheus") => text_for_prometheus(stats::prometheus(registry, &query)),
        Some("json") => json(&stats::json(registry, &query)),
        _ => stats::text(registry, &query).into_response(),
    }
}

async fn prometheus(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    pages.status.publish(pages.phase());
    let registry = &pages.data_plane.shared().registry;
    text_for_prometheus(stats::prometheus(registry, &Query::new(query)))
}

/// Stops listening. The process goes on, as does what is in flight when asked gracefully.
async fn drain_listeners(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> &'static str {
    pages.status.ask(Asked::Drain { graceful: Query::new(query).has("graceful") });
    "OK\n"
}

async fn quit(Shared(pages): Shared<Pages>) -> &'static str {
    pages.status.ask(Asked::Quit);
    "OK\n"
}

fn json(page: &Value) -> Response {
    let text = format!("{page:#}\n");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn text_for_prometheus(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
