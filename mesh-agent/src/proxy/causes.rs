//! What changes under a running proxy, so that it must be replaced: its program, the user's
//! configuration, certificate files that the configuration names.

use std::collections::BTreeMap;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::Instant;

use super::certificates::Certificates;
use super::found::Fingerprint;
use super::source::Source;
use super::watch::Watch;

/// For so long nothing must have changed any more: files are written in pieces, and a chain
/// and its key one after the other.
const SETTLED: Duration = Duration::from_millis(500);

/// Watches them.
pub(super) struct Causes {
    watch: Watch,
    binary: PathBuf,
    file: Option<PathBuf>,
    certificates: Certificates,
    known: BTreeMap<PathBuf, Option<Fingerprint>>,
    /// When to look at what has changed.
    settled: Option<Instant>,
}

impl Causes {
    /// From now on the program's and the user's own file.
    pub(super) fn new(binary: &Path, source: &Source) -> std::io::Result<Self> {
        let file = match source {
            Source::File(path) => Some(path.clone()),
            Source::Made(_) => None,
        };
        let mut causes = Self {
            watch: Watch::new()?,
            binary: binary.to_owned(),
            file,
            certificates: Certificates::default(),
            known: BTreeMap::new(),
            settled: None,
        };
        causes.watch_certificates(Certificates::default());
        Ok(causes)
    }

    /// A generation was started with a configuration that names these.
    pub(super) fn watch_certificates(&mut self, certificates: Certificates) {
        self.certificates = certificates;
        let files: Vec<PathBuf> = self.files().cloned().collect();
        let real = std::fs::canonicalize(&self.binary).ok();
        for path in files.iter().chain(&real) {
            // Whatever replaces a file appears in its folder. Watching one again is nothing.
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            if let Err(error) = self.watch.add_folder(folder) {
                tracing::warn!(%error, "changes of {} are not seen", path.display());
            }
        }
        // What is known already stays so: it may have changed between its being read and now.
        let known = std::mem::take(&mut self.known);
        let seen = |path: PathBuf| {
            let fingerprint = known.get(&path).copied();
            let fingerprint = fingerprint.unwrap_or_else(|| Fingerprint::of(&path));
            (path, fingerprint)
        };
        self.known = files.into_iter().map(seen).collect();
    }

    /// Waits for a change that is a reason to replace the proxy, and gives it. Cancel-safe.
    pub(super) async fn next(&mut self) -> String {
        loop {
            let settled = async {
                match self.settled {
                    Some(at) => tokio::time::sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                changed = self.watch.changed() => match changed {
                    Ok(()) => self.settled = Some(Instant::now() + SETTLED),
                    Err(error) => {
                        tracing::warn!(%error, "changes of files are not seen any more");
                        pending::<()>().await;
                    }
                },
                () = settled => {
                    self.settled = None;
                    if let Some(reason) = self.look() {
                        return reason;
                    }
                }
            }
        }
    }

    fn look(&mut self) -> Option<String> {
        let now: BTreeMap<_, _> =
            self.files().map(|path| (path.clone(), Fingerprint::of(path))).collect();
        let differs = |path: &&PathBuf| now.get(*path) != self.known.get(*path);
        let changed: Vec<&PathBuf> = self.known.keys().filter(differs).collect();
        if changed.is_empty() {
            return None;
        }
        // One that is not there is on its way, or is missed when a proxy is started.
        if let Some(gone) = changed.iter().find(|path| now.get(**path) == Some(&None)) {
            tracing::warn!("{} is gone; the proxy stays as it is", gone.display());
            return None;
        }
        if let Err(error) = self.certificates.check() {
            tracing::warn!("the proxy stays as it is: {error:#}");
            return None;
        }
        let names: Vec<String> = changed.iter().map(|path| path.display().to_string()).collect();
        self.known = now;
        Some(format!("changed: {}", names.join(", ")))
    }

    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.binary].into_iter().chain(&self.file).chain(self.certificates.files())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mesh_tls::Authority;
    use serde_json::json;

    use super::*;

    struct Fixture {
        folder: tempfile::TempDir,
        causes: Causes,
    }

    impl Fixture {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name| folder.path().join(name);
            fs::write(path("proxy"), "program").unwrap();
            fs::write(path("own.yaml"), "a: 1").unwrap();
            let causes = Causes::new(&path("proxy"), &Source::File(path("own.yaml"))).unwrap();
            Self { folder, causes }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.folder.path().join(name)
        }

        /// As a package manager or a rename does.
        fn replace(&self, name: &str, content: &str) {
            fs::write(self.path("new"), content).unwrap();
            fs::rename(self.path("new"), self.path(name)).unwrap();
        }

        async fn next(&mut self) -> String {
            let next = tokio::time::timeout(mesh_testkit::DEADLINE, self.causes.next());
            next.await.expect("a cause")
        }

        /// Long enough to see what would be one.
        async fn nothing(&mut self) -> bool {
            tokio::time::timeout(Duration::from_secs(3), self.causes.next()).await.is_err()
        }
    }

    #[tokio::test]
    async fn the_program_and_the_file() {
        let mut fixture = Fixture::new();
        fixture.replace("proxy", "newer");
        assert!(fixture.next().await.contains("/proxy"));
        fs::write(fixture.path("own.yaml"), "a: 22").unwrap();
        assert!(fixture.next().await.contains("/own.yaml"));
        fs::write(fixture.path("other"), "").unwrap();
        fs::remove_file(fixture.path("own.yaml")).unwrap();
        assert!(fixture.nothing().await);
        fs::write(fixture.path("own.yaml"), "a: 333").unwrap();
        assert!(fixture.next().await.contains("/own.yaml"));
    }

    #[tokio::test]
    async fn a_chain_and_its_key_are_one_change() {
        let pair = || {
            let authority =
                Authority::create("test", Duration::from_secs(3600), std::time::SystemTime::now())
                    .unwrap();
            (authority.root_pem(), authority.key_pem())
        };
        let mut fixture = Fixture::new();
        let (chain, key) = pair();
        fs::write(fixture.path("tls.crt"), &chain).unwrap();
        fs::write(fixture.path("tls.key"), &key).unwrap();
        let bootstrap = json!({
            "certificate_chain": {"filename": fixture.path("tls.crt")},
            "private_key": {"filename": fixture.path("tls.key")},
        });
        fixture.causes.watch_certificates(Certificates::named(&bootstrap));
        let (chain, key) = pair();
        fixture.replace("tls.crt", &chain);
        assert!(fixture.nothing().await, "the key is still another's");
        fixture.replace("tls.key", &key);
        let reason = fixture.next().await;
        assert!(reason.contains("tls.crt") && reason.contains("tls.key"), "{reason}");
    }
}
