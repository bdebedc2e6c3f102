//! The agent's local API: HTTP on `<config-dir>/agent.sock`, for its own user alone.
//!
//! `POST /restart?reason=TEXT` replaces the proxy and answers with a [`Report`] when that is
//! over; `GET /status` answers with a [`Status`].

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

use super::agent::Message;
use super::requests::{Report, Request};
use super::supervisor::Epoch;

/// How the agent and its proxies are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// What the agent is doing, in a word.
    pub state: String,
    /// The agent's process id.
    pub pid: u32,
    /// The program of the next generation.
    pub binary: PathBuf,
    /// Why a restart would not be a hot one, if so.
    pub no_hot_restart: Option<String>,
    /// The proxies that live.
    pub generations: Vec<GenerationStatus>,
    /// How many wait for a restart.
    pub waiting: usize,
    /// How the last one went.
    pub last_restart: Option<Report>,
}

/// How a proxy is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// The generation's number.
    pub epoch: Epoch,
    /// Its process id.
    pub pid: u32,
    /// What it is doing, in a word.
    pub state: String,
    /// Whether it has had its configuration.
    pub ready: bool,
    /// Whether another agent started it.
    pub adopted: bool,
    /// The program.
    pub binary: PathBuf,
    /// The file that it was started with.
    pub config: PathBuf,
    /// When it was started.
    pub started: SystemTime,
}

/// The socket's name in the agent's folder.
pub fn socket(folder: &Path) -> PathBuf {
    folder.join("agent.sock")
}

/// Serves until the runtime ends. The folder is this agent's alone.
pub(super) fn serve(folder: &Path, agent: mpsc::UnboundedSender<Message>) -> anyhow::Result<()> {
    let path = socket(folder);
    let listener = listen(&path).with_context(|| format!("cannot listen on {}", path.display()))?;
    let pages = Router::new()
        .route("/restart", post(restart))
        .route("/status", get(status))
        .with_state(agent);
    tokio::spawn(async move { axum::serve(listener, pages).await });
    Ok(())
}

fn listen(path: &Path) -> io::Result<UnixListener> {
    // Has its name only when it is closed to others.
    let temporary = path.with_extension("new");
    let _ = fs::remove_file(&temporary);
    let listener = UnixListener::bind(&temporary)?;
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o600))?;
    fs::rename(temporary, path)?;
    Ok(listener)
}

type Agent = State<mpsc::UnboundedSender<Message>>;

#[derive(Deserialize)]
struct Asked {
    reason: Option<String>,
}

async fn restart(
    State(agent): Agent,
    Query(asked): Query<Asked>,
) -> Result<(StatusCode, Json<Report>), StatusCode> {
    let (reply, answer) = oneshot::channel();
    let reason = asked.reason.unwrap_or_else(|| "asked for on the local API".to_owned());
    let request = Request { reason, reply: Some(reply) };
    let report = ask(&agent, Message::Restart(request), answer).await?;
    let code = if report.done { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    Ok((code, Json(report)))
}

async fn status(State(agent): Agent) -> Result<Json<Status>, StatusCode> {
    let (reply, answer) = oneshot::channel();
    ask(&agent, Message::Status(reply), answer).await.map(Json)
}

/// The agent does not answer when it has just left.
async fn ask<T>(
    agent: &mpsc::UnboundedSender<Message>,
    message: Message,
    answer: oneshot::Receiver<T>,
) -> Result<T, StatusCode> {
    agent.send(message).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    answer.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
}
