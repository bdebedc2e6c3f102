//! Join tokens: what a pod proves with who it is, in the place of its service account's
//! token. Each is random, registered in a file for the pilot, and good until it expires or
//! its pod is gone.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::life::Pod;
use crate::error::{Context, Result};
use crate::plan::VolumeKind;
use crate::state::remove_file;

/// As long as injection asks Kubernetes for.
const LIFE: Duration = Duration::from_secs(12 * 3600);

/// The registered tokens of one pod; taken back when dropped.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    registered: Vec<PathBuf>,
}

impl Tokens {
    /// A token for each volume of the pod that is to have one.
    pub(super) fn issue(pod: &Pod) -> Result<Self> {
        let mut tokens = Self::default();
        for volume in &pod.plan.volumes {
            if let VolumeKind::Token { file, user } = &volume.kind {
                let folder = pod.folder().join("volumes").join(&volume.name);
                let (token, registration) = register(pod)?;
                tokens.registered.push(registration);
                put(&folder, file, *user, &token)
                    .context(|| folder.join(file).display().to_string())?;
            }
        }
        Ok(tokens)
    }

    /// Replaces them half way through their lives; never ends.
    pub(super) async fn keep(&mut self, pod: &Pod) {
        loop {
            tokio::time::sleep(LIFE / 2).await;
            match Self::issue(pod) {
                // The old ones are taken back: whoever is refused reads the file again.
                Ok(new) => *self = new,
                Err(error) => pod.warn(Err(error)),
            }
        }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        for file in &self.registered {
            // One that stays expires.
            let _ = remove_file(file);
        }
    }
}

/// A new token and the file in which it is registered, in the form that mesh-pilot reads.
fn register(pod: &Pod) -> Result<(String, PathBuf)> {
    let random = || hex().context(|| "/dev/urandom".to_owned());
    let (id, secret) = (random()?, random()?);
    let expires = SystemTime::now() + LIFE;
    let expires = expires.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let registration = json!({
        "secret": secret,
        "namespace": pod.plan.key.namespace,
        "serviceAccount": pod.service_account(),
        "pod": pod.plan.key.name,
        "expires": expires,
    });
    let file = pod.world.state.tokens().join(format!("{id}.json"));
    write(&file, 0o600, &registration.to_string()).context(|| file.display().to_string())?;
    Ok((format!("mesh-join.{id}.{secret}"), file))
}

/// 256 random bits.
fn hex() -> io::Result<String> {
    let mut bytes = [0; 32];
    fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A file that its user may read and nobody else; the old one or the new one, never half.
fn put(folder: &Path, name: &str, user: u32, text: &str) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}"));
    let _ = fs::remove_file(&temporary);
    write(&temporary, 0o400, text)?;
    chown(&temporary, Some(user), Some(user))?;
    fs::rename(&temporary, folder.join(name))
}

fn write(path: &Path, mode: u32, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(text.as_bytes())
}
