//! The files from which generations of the proxy were started: `rev0.json`, `rev1.json`, …

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;

/// How a bootstrap is written; the proxy knows it by the file's extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    /// JSON.
    Json,
    /// YAML.
    Yaml,
}

/// A bootstrap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Document {
    pub(super) text: String,
    pub(super) format: Format,
}

impl From<&Value> for Document {
    fn from(value: &Value) -> Self {
        Self { text: format!("{value:#}\n"), format: Format::Json }
    }
}

impl Document {
    fn extension(&self) -> &'static str {
        match self.format {
            Format::Json => "json",
            Format::Yaml => "yaml",
        }
    }
}

/// The folder with the files.
pub(super) struct Revisions {
    folder: PathBuf,
}

impl Revisions {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Writes the document for the generation of this number and gives the path.
    pub(super) fn write(&self, epoch: u32, document: &Document) -> anyhow::Result<PathBuf> {
        let candidate = self.candidate(document)?;
        let path = self.folder.join(format!("rev{epoch}.{}", document.extension()));
        fs::rename(&candidate, &path).with_context(|| self.advice())?;
        Ok(path)
    }

    /// Writes the document for nobody yet, readable by the proxy's user and group alone, and
    /// gives the path. The folder is made when missing.
    pub(super) fn candidate(&self, document: &Document) -> anyhow::Result<PathBuf> {
        let advice = || self.advice();
        fs::create_dir_all(&self.folder).with_context(advice)?;
        let path = self.folder.join(format!("candidate.{}", document.extension()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o640);
        let mut file = options.open(&path).with_context(advice)?;
        file.write_all(document.text.as_bytes()).with_context(advice)?;
        Ok(path)
    }

    /// Removes the files, and the logs, of all generations but those.
    pub(super) fn prune(&self, kept: impl Fn(u32) -> bool) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let epoch = name.to_str().and_then(epoch_of);
            if epoch.is_some_and(|epoch| !kept(epoch)) {
                // What cannot be removed is in nobody's way.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn advice(&self) -> String {
        format!(
            "cannot write the bootstrap in {}: is --config-dir a folder that the proxy's user may write to?",
            self.folder.display()
        )
    }
}

/// The generation of `rev7.json`, `rev7.yaml` or `proxy7.log`.
pub(super) fn epoch_of(name: &str) -> Option<u32> {
    let (name, extension) = name.split_once('.')?;
    let number = match extension {
        "json" | "yaml" => name.strip_prefix("rev")?,
        "log" => name.strip_prefix("proxy")?,
        _ => return None,
    };
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::*;

    #[test]
    fn others_cannot_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let revisions = Revisions::new(&folder.path().join("a/b"));
        let path = revisions.write(0, &(&json!({"a": 1})).into()).unwrap();
        assert_eq!(path.file_name().unwrap(), "rev0.json");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7, 0);
        let error = Revisions::new(&path).write(0, &(&json!({})).into()).unwrap_err();
        assert!(error.to_string().contains("--config-dir"), "{error}");
    }

    #[test]
    fn the_extension_tells_the_format() {
        let folder = tempfile::tempdir().unwrap();
        let yaml = Document { text: "admin: {}".to_owned(), format: Format::Yaml };
        let path = Revisions::new(folder.path()).write(7, &yaml).unwrap();
        assert_eq!(path, folder.path().join("rev7.yaml"));
        assert_eq!(fs::read_to_string(path).unwrap(), yaml.text);
    }

    #[test]
    fn old_ones_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let old = ["rev0.json", "rev3.yaml", "proxy3.log"];
        let kept = ["rev4.json", "proxy.json", "reviews.json", "rev1.txt"];
        for name in old.iter().chain(&kept) {
            fs::write(folder.path().join(name), "").unwrap();
        }
        Revisions::new(folder.path()).prune(|epoch| epoch == 4);
        let left = |name: &&str| folder.path().join(name).exists();
        assert!(!old.iter().any(left));
        assert!(kept.iter().all(left));
    }
}
