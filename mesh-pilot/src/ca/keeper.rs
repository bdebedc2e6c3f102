//! Keeps the authority current, and publishes the roots.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mesh_tls::Authority;
use tokio::sync::watch;
use tracing::{error, info, warn};

use super::rollover::{Earlier, Rollover, Timing, Trust};
use super::store::{Material, RootStore, StoreError};

/// A root is to be replaced well before its end, as that takes time.
const ENDING: Duration = Duration::from_secs(30 * 86_400);

/// Why the authority cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// The root.
    #[error("the certificate authority: {0}")]
    Store(#[from] StoreError),
    /// The bundle cannot be published.
    #[error("cannot write the root certificates {path} (--root-cert-file): {source}")]
    Publish {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the root again when it changes, replaces one by the other in steps, and writes the
/// roots that are trusted into a file.
pub struct Keeper {
    store: RootStore,
    material: Material,
    rollover: Rollover,
    trust: watch::Sender<Trust>,
    file: Option<PathBuf>,
}

impl Keeper {
    /// Loads the root, makes it when there is none, and publishes it.
    pub async fn start(
        store: RootStore,
        trust_domain: &str,
        timing: Timing,
        file: Option<PathBuf>,
        earlier: Earlier,
    ) -> Result<Self, KeeperError> {
        let material = store.load_or_create(trust_domain).await?;
        let authority = Arc::new(store.authority(&material)?);
        warn_of_its_end(&authority);
        let rollover = Rollover::new(authority, earlier, timing, Instant::now());
        let trust = watch::Sender::new(rollover.trust());
        if let Some(due) = rollover.due().filter(|_| !trust.borrow().is_known) {
            let seconds = due.saturating_duration_since(Instant::now()).as_secs();
            warn!(seconds, "the root is a new one: others sign until every pod has it");
        }
        let keeper = Self { store, material, rollover, trust, file };
        keeper.publish()?;
        Ok(keeper)
    }

    /// Who signs and who is trusted, and each change of it.
    pub fn trust(&self) -> watch::Receiver<Trust> {
        self.trust.subscribe()
    }

    /// Follows the changes; never ends.
    pub async fn run(mut self) {
        let mut failed = false;
        loop {
            let due = self.rollover.due().map(|due| due.saturating_duration_since(Instant::now()));
            tokio::time::sleep(due.unwrap_or(Duration::MAX).min(self.store.period())).await;
            match self.look().await {
                Ok(()) => failed = false,
                // Said once: it is looked at every few seconds.
                Err(error) if !failed => {
                    error!(%error, "the certificate authority stays as it was");
                    failed = true;
                }
                Err(_) => {}
            }
        }
    }

    async fn look(&mut self) -> Result<(), KeeperError> {
        let loaded = match self.store.load().await {
            Ok(material) if material != self.material => {
                // Files that are being replaced one by one may not fit together yet: they
                // are tried again at the next look.
                self.store.authority(&material).map(|authority| Some((material, authority)))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        let now = Instant::now();
        let outcome = loaded.map(|changed| {
            if let Some((material, authority)) = changed {
                warn_of_its_end(&authority);
                self.material = material;
                self.rollover.offer(Arc::new(authority), now);
            }
        });
        self.rollover.tick(now);
        self.announce()?;
        Ok(outcome?)
    }

    fn announce(&self) -> Result<(), KeeperError> {
        let new = self.rollover.trust();
        let (same_signer, same_roots) = {
            let old = self.trust.borrow();
            // Who becomes known comes first of the roots.
            (Arc::ptr_eq(&old.authority, &new.authority), old.bundle == new.bundle)
        };
        if same_signer && same_roots {
            return Ok(());
        }
        info!(
            roots = new.bundle.roots().len(),
            new_signer = !same_signer,
            "the certificate authority changed"
        );
        self.trust.send_replace(new);
        self.publish()
    }

    fn publish(&self) -> Result<(), KeeperError> {
        let Some(file) = &self.file else { return Ok(()) };
        let text = self.trust.borrow().bundle.to_pem();
        write_whole(file, &text)
            .map_err(|source| KeeperError::Publish { path: file.clone(), source })
    }
}

fn warn_of_its_end(authority: &Authority) {
    let left = authority.not_after().duration_since(SystemTime::now()).unwrap_or_default();
    if left < ENDING {
        let days = left.as_secs() / 86_400;
        warn!(days, "the authority's own certificate ends soon; replace it");
    }
}

/// Everybody may read it, and sees the old text or the new one.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let mut file = File::create(&temporary)?;
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(text.as_bytes())?;
    fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use mesh_tls::TrustBundle;

    use super::super::GivenFiles;
    use super::*;

    #[tokio::test]
    async fn files_that_were_replaced_are_taken_when_they_fit_together() {
        let life = Duration::from_secs(86_400 * 365);
        let authority = || Authority::create("cluster.local", life, SystemTime::now()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(path(name), text).unwrap();
        let (old, new) = (authority(), authority());
        write("tls.crt", &old.chain_pem());
        write("tls.key", &old.key_pem());
        write("ca.crt", &old.root_pem());
        let store = RootStore::Given(GivenFiles::in_folder(folder.path()).unwrap());
        let timing = Timing { lead: Duration::ZERO, overlap: Duration::from_secs(3600) };
        let published = path("root-cert.pem");
        let start = || {
            let earlier = Earlier { roots: TrustBundle::read(&published).ok(), shared: false };
            let file = Some(published.clone());
            Keeper::start(store.clone(), "cluster.local", timing, file, earlier)
        };
        let mut keeper = start().await.unwrap();
        let trust = keeper.trust();
        let roots = || TrustBundle::read(&published).unwrap().roots().len();
        keeper.look().await.unwrap();
        assert!(!trust.has_changed().unwrap());

        write("tls.crt", &new.chain_pem());
        let error = keeper.look().await.unwrap_err().to_string();
        assert!(error.contains("tls.crt"), "{error}");
        assert!(!trust.has_changed().unwrap(), "half of it counts for nothing");
        write("tls.key", &new.key_pem());
        write("ca.crt", &new.root_pem());
        keeper.look().await.unwrap();
        assert_eq!(trust.borrow().authority.root_pem(), new.root_pem());
        assert_eq!(roots(), 2);
        drop(keeper);
        let restarted = start().await.unwrap();
        assert_eq!(restarted.trust().borrow().bundle.roots().len(), 2, "also after a restart");
    }
}
