//! Which page is where.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::extract::{RawQuery, State as Shared};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use mesh_runtime::telemetry::Levels;
use regex::Regex;
use serde_json::Value;

use super::Trim;
use super::config_dump::{DumpError, Unanswerable};
use super::query::Query;
use super::status::{Asked, Phase, Status};
use super::{certs, clusters, config_dump, listeners, logging, memory, server_info, stats};
use crate::hot_restart;
use crate::server::DataPlane;
use crate::xds::State;

/// What the pages show.
#[derive(Clone)]
pub(crate) struct Pages {
    pub(crate) data_plane: DataPlane,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) status: Arc<Status>,
    /// What is logged.
    pub(crate) levels: Arc<Levels>,
    pub(crate) trim: Trim,
}

/// Path, what it shows or does, and whether it changes something: then it takes POST alone.
const INDEX: [(&str, &str, bool); 16] = [
    ("/certs", "the certificates in use", false),
    ("/clusters", "clusters and their endpoints (?filter=, ?format=json)", false),
    (
        "/config_dump",
        "the configuration in force (?resource=, ?mask=, ?name_regex=, ?include_eds)",
        false,
    ),
    (
        "/drain_listeners",
        "stop listening; with ?graceful connections may end well, with ?inboundonly others stay",
        true,
    ),
    ("/healthcheck/fail", "be not ready, fail health checks, let HTTP connections go", true),
    ("/healthcheck/ok", "take that back", true),
    ("/help", "this page", false),
    ("/hot_restart_version", "the version of the hot restart protocol", false),
    ("/listeners", "listeners and their addresses (?format=json)", false),
    ("/logging", "levels of logging (?level=, ?NAME=, ?paths=NAME:LEVEL,…)", true),
    ("/memory", "memory in use", false),
    ("/quitquitquit", "drain and end", true),
    ("/ready", "whether the proxy serves", false),
    ("/server_info", "version, state, uptime, node", false),
    ("/stats", "statistics (?filter=, ?usedonly, ?type=, ?format=json|prometheus)", false),
    ("/stats/prometheus", "statistics for Prometheus", false),
];

pub(super) fn router(pages: Pages) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/help", get(index))
        .route("/ready", get(ready))
        .route("/server_info", get(server_info))
        .route("/hot_restart_version", get(|| async { format!("{}\n", hot_restart::VERSION) }))
        .route("/memory", get(|| async { json(&memory::page()) }))
        .route("/certs", get(certs))
        .route("/config_dump", get(config_dump))
        .route("/clusters", get(clusters))
        .route("/listeners", get(listeners))
        .route("/stats", get(stats))
        .route("/stats/prometheus", get(prometheus))
        .route("/logging", post(logging))
        .route("/healthcheck/fail", post(healthcheck_fail))
        .route("/healthcheck/ok", post(healthcheck_ok))
        .route("/drain_listeners", post(drain_listeners))
        .route("/quitquitquit", post(quit))
        .fallback(nowhere)
        .with_state(pages)
}

impl Pages {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        // As in Envoy, one whose health checks fail is on its way out.
        if self.data_plane.shared().is_failing.load(Ordering::Relaxed) {
            return Phase::Draining;
        }
        let stage = self.state().stage();
        self.status.phase(stage)
    }
}

async fn index() -> Html<String> {
    let row = |(path, about, changes): &(&str, &str, bool)| {
        let name = match changes {
            true => {
                format!("<form method=\"post\" action=\"{path}\"><button>{path}</button></form>")
            }
            false => format!("<a href=\"{path}\">{path}</a>"),
        };
        format!("<tr><td>{name}</td><td>{about}</td></tr>\n")
    };
    let rows: String = INDEX.iter().map(row).collect();
    Html(format!(
        "<!DOCTYPE html><title>mesh-proxy</title><h1>mesh-proxy</h1>\n<table>\n{rows}</table>\n"
    ))
}

async fn nowhere() -> (StatusCode, String) {
    let line = |(path, about, changes): &(&str, &str, bool)| {
        format!("  {path}{}: {about}\n", if *changes { " (POST)" } else { "" })
    };
    let lines: String = INDEX.iter().map(line).collect();
    (StatusCode::NOT_FOUND, format!("invalid path. admin commands are:\n{lines}"))
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
    let answer = match config_dump::page(&pages, &Query::new(query)) {
        Ok(page) => json(&page),
        Err(error) => {
            let code = match error {
                DumpError::Asked(Unanswerable::NoSuchResource(_)) => StatusCode::NOT_FOUND,
                DumpError::Asked(_) => StatusCode::BAD_REQUEST,
                DumpError::Text(_) => StatusCode::INTERNAL_SERVER_ERROR,
            };
            (code, format!("{error}\n")).into_response()
        }
    };
    (pages.trim)();
    answer
}

async fn clusters(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    let query = Query::new(query);
    let filter = match query.get("filter").map(Regex::new).transpose() {
        Ok(filter) => filter,
        Err(error) => return bad_request(&format!("Invalid re2 regex: {error}")),
    };
    match query.get("format") {
        Some("json") => json(&clusters::json(&pages, filter.as_ref())),
        _ => clusters::text(&pages, filter.as_ref()).into_response(),
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
    stats_in(&pages, &query, query.get("format").unwrap_or("text"))
}

async fn prometheus(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    stats_in(&pages, &Query::new(query), "prometheus")
}

fn stats_in(pages: &Pages, query: &Query, format: &str) -> Response {
    let wanted = match stats::Wanted::new(query) {
        Ok(wanted) => wanted,
        Err(error) => return bad_request(&error.to_string()),
    };
    pages.status.publish(pages.phase(), certs::days_until_first_expires(&pages.state()));
    let registry = &pages.data_plane.shared().registry;
    match format {
        "prometheus" => text_for_prometheus(stats::prometheus(registry, &wanted)),
        "json" => json(&stats::json(registry, &wanted)),
        "text" => stats::text(registry, &wanted).into_response(),
        _ => bad_request("usage: /stats?format=(json|prometheus|text)"),
    }
}

async fn logging(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> Response {
    match logging::page(&pages.levels, &Query::new(query)) {
        Ok(page) => page.into_response(),
        Err(page) => (StatusCode::BAD_REQUEST, page).into_response(),
    }
}

async fn healthcheck_fail(Shared(pages): Shared<Pages>) -> &'static str {
    pages.data_plane.set_failing(true);
    "OK\n"
}

async fn healthcheck_ok(Shared(pages): Shared<Pages>) -> &'static str {
    pages.data_plane.set_failing(false);
    "OK\n"
}

/// Stops listening. The process goes on, as does what is in flight when asked gracefully.
async fn drain_listeners(Shared(pages): Shared<Pages>, RawQuery(query): RawQuery) -> &'static str {
    let query = Query::new(query);
    let (graceful, inbound_only) = (query.has("graceful"), query.has("inboundonly"));
    pages.status.ask(Asked::Drain { graceful, inbound_only });
    "OK\n"
}

async fn quit(Shared(pages): Shared<Pages>) -> &'static str {
    pages.status.ask(Asked::Quit);
    "OK\n"
}

fn bad_request(text: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{text}\n")).into_response()
}

fn json(page: &Value) -> Response {
    let text = format!("{page:#}\n");
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

fn text_for_prometheus(text: String) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
