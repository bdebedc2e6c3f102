//! The state folder of a local mesh.

use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Context, Error, Result};
use crate::manifest::Key;

/// Says that the folder is ours to remove.
const MARK: &str = ".mesh-local";

/// Where everything of one local mesh is.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Where it is unless the user says otherwise.
    pub const DEFAULT: &str = "/run/mesh-local";

    /// Takes the folder as it is, or is not yet.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The pilot's API.
    pub fn pilot_socket(&self) -> PathBuf {
        self.root.join("pilot.sock")
    }

    /// The supervisor's own socket.
    pub fn control_socket(&self) -> PathBuf {
        self.root.join("control.sock")
    }

    /// A container's output.
    pub fn container_log(&self, pod: &Key, container: &str) -> PathBuf {
        // A default pod's name with dots would look like a name and its namespace.
        let namespace = match pod.namespace.as_str() {
            "default" if !pod.name.contains('.') => String::new(),
            namespace => format!("{namespace}."),
        };
        self.root.join("logs").join(format!("{namespace}{}.{container}.log", pod.name))
    }

    /// The pilot's output.
    pub fn pilot_log(&self) -> PathBuf {
        self.root.join("logs/pilot.log")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// The folder that the pilot watches.
    pub(crate) fn config(&self) -> PathBuf {
        self.root.join("config")
    }

    pub(crate) fn pods(&self) -> PathBuf {
        self.root.join("pods")
    }

    /// Where join tokens are registered.
    pub(crate) fn tokens(&self) -> PathBuf {
        self.root.join("tokens")
    }

    /// The pilot's root.
    pub(crate) fn ca(&self) -> PathBuf {
        self.root.join("ca")
    }

    /// Where the pilot publishes the roots, and pods see them.
    pub(crate) fn roots(&self) -> PathBuf {
        self.root.join("roots")
    }

    pub(crate) fn bin(&self) -> PathBuf {
        self.root.join("bin")
    }

    pub(crate) fn pod_file(&self, pod: &Key) -> PathBuf {
        self.config().join("pods").join(format!("{}.{}.yaml", pod.namespace, pod.name))
    }

    pub(crate) fn service_file(&self, service: &Key) -> PathBuf {
        self.config().join("services").join(format!("{}.{}.yaml", service.namespace, service.name))
    }

    /// Makes the folder and those in it, empty.
    pub(crate) fn create(&self) -> Result<()> {
        self.remove()?;
        let create = |folder: &Path| {
            std::fs::create_dir_all(folder).context(|| folder.display().to_string())
        };
        create(&self.root)?;
        // First, so that a folder that is half made is known as ours, too.
        let mark = self.root.join(MARK);
        std::fs::write(&mark, "").context(|| mark.display().to_string())?;
        let folders = ["config/rules", "config/services", "config/pods", "logs", "pods", "bin"];
        for folder in folders.into_iter().chain(["roots", "tokens"]) {
            create(&self.root.join(folder))?;
        }
        // The pods' users pass through all but the last, whatever the umask.
        for (folder, mode) in [
            (&self.root, 0o755),
            (&self.pods(), 0o755),
            (&self.bin(), 0o755),
            (&self.roots(), 0o755),
            (&self.tokens(), 0o700),
        ] {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(folder, mode).context(|| folder.display().to_string())?;
        }
        Ok(())
    }

    /// Removes the folder; that there is none is fine.
    pub(crate) fn remove(&self) -> Result<()> {
        // Not a folder that somebody named by mistake.
        if self.root.exists() && !self.root.join(MARK).exists() && !is_empty(&self.root) {
            return Err(Error::failed(format!(
                "{} is not the state folder of a local mesh; choose another with --state-dir",
                self.root.display()
            )));
        }
        for entry in std::fs::read_dir(&self.root).into_iter().flatten().flatten() {
            let path = entry.path();
            // The mark goes last, so that a folder that is half removed is known as ours, too.
            let removed = match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => std::fs::remove_dir_all(&path),
                false if entry.file_name() == MARK => Ok(()),
                false => std::fs::remove_file(&path),
            };
            removed.context(|| path.display().to_string())?;
        }
        match std::fs::remove_dir_all(&self.root) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::Io { what: self.root.display().to_string(), source: error })
            }
            _ => Ok(()),
        }
    }
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_none())
}

/// Writes an object as YAML so that a reader sees the old file or the new one.
pub(crate) fn write_object(path: &Path, object: &Value) -> Result<()> {
    let text = mesh_yaml::write(object)
        .map_err(|error| Error::failed(format!("{}: {error}", path.display())))?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}"));
    std::fs::write(&temporary, text).context(|| temporary.display().to_string())?;
    std::fs::rename(&temporary, path).context(|| path.display().to_string())
}

/// Removes a file; that there is none is fine.
pub(crate) fn remove_file(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::Io { what: path.display().to_string(), source: error })
        }
        _ => Ok(()),
    }
}

/// Gives a file to the user who called sudo, if one did.
pub(crate) fn give_to_caller(path: &Path) -> Result<()> {
    let id = |name: &str| std::env::var(name).ok()?.parse::<u32>().ok();
    match (id("SUDO_UID"), id("SUDO_GID")) {
        (None, None) => Ok(()),
        (user, group) => chown(path, user, group).context(|| path.display().to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_containers_share_a_log() {
        let state = StateDir::new("/s");
        let log = |namespace: &str, name: &str| {
            let pod = Key { namespace: namespace.to_owned(), name: name.to_owned() };
            state.container_log(&pod, "c")
        };
        assert_eq!(log("default", "web"), Path::new("/s/logs/web.c.log"));
        assert_eq!(log("shop", "web"), Path::new("/s/logs/shop.web.c.log"));
        assert_eq!(log("default", "shop.web"), Path::new("/s/logs/default.shop.web.c.log"));
    }

    #[test]
    fn a_folder_of_somebody_else_is_not_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("thesis.txt"), "").unwrap();
        let error = StateDir::new(folder.path()).create().unwrap_err().to_string();
        assert!(error.contains("--state-dir"), "{error}");
        let state = StateDir::new(folder.path().join("mesh"));
        state.create().unwrap();
        state.create().unwrap();
        state.remove().unwrap();
        assert!(!state.root().exists());
    }
}
