//! The supervisor's socket, by which other commands talk to it: a line of JSON each way.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::sync::Weak;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::claim::claim;
use crate::error::{Context, Error, Result};
use crate::host;
use crate::lock;
use crate::manifest::{Document, Manifests};
use crate::mesh::{Applied, Mesh};
use crate::pod::PodStatus;
use crate::state::{StateDir, give_to_caller};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// What runs in a mesh.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Report {
    /// The supervisor.
    pub pid: u32,
    /// Its pods, by name.
    pub pods: Vec<PodStatus>,
    /// Addresses on this machine, with the service that each leads to.
    pub published: Vec<(SocketAddr, String)>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Request {
    Report,
    Apply(Vec<Source>),
    Down,
}

/// A document on its way.
#[derive(Debug, Serialize, Deserialize)]
struct Source {
    at: String,
    text: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Response {
    Report(Report),
    Applied(Applied),
    Stopping,
    Refused(String),
}

pub(crate) fn listen(state: &StateDir) -> Result<UnixListener> {
    let path = state.control_socket();
    let listener = UnixListener::bind(&path).context(|| path.display().to_string())?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))
        .context(|| path.display().to_string())?;
    // They may look and end; to run other programs as other users takes root still.
    give_to_caller(&path)?;
    Ok(listener)
}

/// Answers until the mesh is gone.
pub(crate) async fn serve(listener: UnixListener, mesh: Weak<Mesh>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, most likely: others will end.
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let mesh = Weak::clone(&mesh);
        // A client that goes away is no concern of the mesh.
        tokio::spawn(async move { answer(stream, mesh).await.ok() });
    }
}

async fn answer(stream: UnixStream, mesh: Weak<Mesh>) -> std::io::Result<()> {
    let is_root = stream.peer_cred()?.uid() == 0;
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let response = match (serde_json::from_str(&line), mesh.upgrade()) {
        (Err(error), _) => Response::Refused(format!("not a request: {error}")),
        (Ok(Request::Down), None) => Response::Stopping,
        (_, None) => Response::Refused("the mesh is stopping".to_owned()),
        (Ok(Request::Report), Some(mesh)) => Response::Report(mesh.report()),
        (Ok(Request::Down), Some(mesh)) => {
            mesh.request_down();
            Response::Stopping
        }
        (Ok(Request::Apply(_)), Some(_)) if !is_root => {
            Response::Refused("to run pods needs root: use sudo".to_owned())
        }
        (Ok(Request::Apply(sources)), Some(mesh)) => match apply(&mesh, sources).await {
            Ok(applied) => Response::Applied(applied),
            Err(error) => Response::Refused(error.to_string()),
        },
    };
    let mut line = serde_json::to_vec(&response)?;
    line.push(b'\n');
    stream.write_all(&line).await
}

async fn apply(mesh: &Mesh, sources: Vec<Source>) -> Result<Applied> {
    let mut documents = Vec::new();
    for source in sources {
        for document in Document::parse(&source.at, &source.text)? {
            // The place is the user's own, not that in the request.
            documents.push(Document { at: source.at.clone(), ..document });
        }
    }
    mesh.apply(Manifests::from_documents(documents)?).await
}

/// Talks to a running mesh.
#[derive(Debug, Clone)]
pub struct Client {
    state: StateDir,
}

impl Client {
    /// For the mesh of this state folder.
    pub fn new(state: StateDir) -> Self {
        Self { state }
    }

    /// What is running.
    ///
    /// # Errors
    /// [`Error::NotRunning`] when no mesh is.
    pub async fn report(&self) -> Result<Report> {
        match self.ask(&Request::Report).await? {
            Response::Report(report) => Ok(report),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes over Deployments, Pods, Services and ServiceAccounts; returns when new pods
    /// are ready and old ones are gone.
    ///
    /// # Errors
    /// [`Error::NotRunning`], or the mesh's own words.
    pub async fn apply(&self, documents: Vec<Document>) -> Result<Applied> {
        let source = |document: Document| Source { at: document.at, text: document.text };
        let request = Request::Apply(documents.into_iter().map(source).collect());
        match self.ask(&request).await? {
            Response::Applied(applied) => Ok(applied),
            other => Err(unexpected(&other)),
        }
    }

    /// Stops the mesh and waits until it is gone; without one, clears what a killed one
    /// has left. Tells whether there was anything.
    ///
    /// # Errors
    /// When it does not go, or something cannot be removed.
    pub async fn down(&self) -> Result<bool> {
        match self.ask(&Request::Down).await {
            Ok(_) => {}
            // It may be on its way up and not yet answer, or on its way out and no longer.
            Err(Error::NotRunning(_) | Error::Io { .. }) if self.is_held() => {}
            Err(Error::NotRunning(_)) => return self.clear().await,
            Err(error) => return Err(error),
        }
        self.wait_gone().await;
        Ok(true)
    }

    fn is_held(&self) -> bool {
        lock::holder().is_ok_and(|holder| holder.is_some_and(|state| state == self.state.root()))
    }

    async fn wait_gone(&self) {
        // A pod's grace period is the user's to choose, so there is no deadline here.
        let is_there = || match lock::holder() {
            Ok(holder) => holder.is_some_and(|state| state == self.state.root()),
            // Not root: the folder is what can be seen.
            Err(_) => self.state.root().exists(),
        };
        while is_there() {
            tokio::time::sleep(PAUSE).await;
            // Again, as it may not have listened the first time.
            let _ = self.ask(&Request::Down).await;
        }
    }

    async fn clear(&self) -> Result<bool> {
        host::check()?;
        let (_lock, was_there) = claim(&self.state).await?;
        Ok(was_there)
    }

    async fn ask(&self, request: &Request) -> Result<Response> {
        let path = self.state.control_socket();
        let stream = UnixStream::connect(&path).await.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused => {
                Error::NotRunning(path.clone())
            }
            _ => Error::Io { what: path.display().to_string(), source },
        })?;
        let mut line = serde_json::to_vec(request)
            .map_err(|error| Error::failed(format!("request: {error}")))?;
        line.push(b'\n');
        let mut stream = BufReader::new(stream);
        let what = || path.display().to_string();
        stream.write_all(&line).await.context(what)?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await.context(what)?;
        match serde_json::from_str(&answer) {
            Ok(Response::Refused(why)) => Err(Error::failed(why)),
            Ok(response) => Ok(response),
            Err(_) => {
                let source = std::io::ErrorKind::UnexpectedEof;
                let what = "the local mesh stopped before it answered".to_owned();
                Err(Error::Io { what, source: source.into() })
            }
        }
    }
}

fn unexpected(response: &Response) -> Error {
    Error::failed(format!("the local mesh answered with something else: {response:?}"))
}
