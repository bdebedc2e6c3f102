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

/// Why there are no settings to begin with.
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
/// breaks is logged and changes nothing. The first reading must succeed.
pub async fn follow(path: Option<PathBuf>) -> Result<watch::Receiver<Arc<Config>>, SettingsError> {
    let Some(path) = path else { return Ok(watch::channel(Arc::default()).1) };
    let text = text(&path).await?;
    let (sender, receiver) = watch::channel(Arc::new(parse(&path, &text)?));
    tokio::spawn(run(path, Ok(text), sender));
    Ok(receiver)
}

/// Ends when nobody looks any more.
async fn run(path: PathBuf, mut last: Result<String, String>, sender: watch::Sender<Arc<Config>>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            () = sender.closed() => return,
        }
        let read = text(&path).await;
        let now = read.as_ref().map(Clone::clone).map_err(ToString::to_string);
        if now == last {
            continue;
        }
        last = now;
        match read.and_then(|text| parse(&path, &text)) {
            Ok(config) => {
                info!("injection has new settings");
                sender.send_replace(Arc::new(config));
            }
            Err(error) => error!(%error, "injection's settings stay as they were"),
        }
    }
}

async fn text(path: &Path) -> Result<String, SettingsError> {
    let read = fs::read_to_string(path).await;
    read.map_err(|source| SettingsError::Read { path: path.to_owned(), source })
}

fn parse(path: &Path, text: &str) -> Result<Config, SettingsError> {
    Config::from_yaml(text)
        .map_err(|source| SettingsError::Config { path: path.to_owned(), source })
}
