//! Injection's settings, from a file that may change: a ConfigMap that kubelet mounts.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use mesh_inject::{Config, ConfigError};
use tokio::fs;
use tokio::sync::watch;
use tracing::{error, info};

/// Kubelet takes a minute to write a change.
const PERIOD: Duration = Duration::from_secs(2);

/// What sidecars are made of; or why that is not known, since the file has been wrong all along.
pub type Settings = Result<Arc<Config>, Arc<SettingsError>>;

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read the settings of injection {path} (--inject-config): {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It holds something else.
    #[error("{path} (--inject-config): {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ConfigError,
    },
}

/// The settings of the file, and each change of them; the defaults without a file. A file that
/// breaks is logged and changes nothing; one that is broken to begin with is waited for.
pub async fn follow(path: Option<PathBuf>) -> watch::Receiver<Settings> {
    let Some(path) = path else { return watch::channel(Ok(Arc::default())).1 };
    let read = text(&path).await;
    let last = seen(&read);
    let settings = settings(&path, read);
    if let Err(error) = &settings {
        error!(%error, "no pod can get a sidecar until this is mended");
    }
    let (sender, receiver) = watch::channel(settings);
    tokio::spawn(run(path, last, sender));
    receiver
}

/// Ends when nobody looks any more.
async fn run(path: PathBuf, mut last: Result<String, String>, sender: watch::Sender<Settings>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = sender.closed() => return,
        }
        let read = text(&path).await;
        let now = seen(&read);
        if now == last {
            continue;
        }
        last = now;
        let settings = settings(&path, read);
        match &settings {
            Ok(_) => info!("injection has new settings"),
            Err(error) if sender.borrow().is_ok() => {
                error!(%error, "injection's settings stay as they were");
                continue;
            }
            Err(error) => error!(%error, "no pod can get a sidecar until this is mended"),
        }
        let _ = sender.send_replace(settings);
    }
}

/// What can be compared with what was read before.
fn seen(read: &Result<String, SettingsError>) -> Result<String, String> {
    match read {
        Ok(text) => Ok(text.clone()),
        Err(error) => Err(error.to_string()),
    }
}

fn settings(path: &Path, read: Result<String, SettingsError>) -> Settings {
    read.and_then(|text| parse(path, &text)).map(Arc::new).map_err(Arc::new)
}

async fn text(path: &Path) -> Result<String, SettingsError> {
    let read = fs::read_to_string(path).await;
    read.map_err(|source| SettingsError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<Config, SettingsError> {
    Config::from_yaml(text)
        .map_err(|source| SettingsError::Config { path: path.to_owned(), source })
}
