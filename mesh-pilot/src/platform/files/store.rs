//! Rules that come by the Rules API, kept as files: one each, whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use mesh_rules::{Rule, RuleKey, documents, parse};
use serde_json::Value;

use super::state::State;
use super::{Applied, Inner, StoreError};

/// Within the watched folder.
pub(super) const FOLDER: &str = "rules";

/// What the user sent, in errors.
const SOURCE: &str = "";

impl Inner {
    pub(super) fn apply(
        &self,
        yaml: &str,
        namespace: &str,
        dry_run: bool,
    ) -> Result<Applied, StoreError> {
        let namespace = if namespace.is_empty() { "default" } else { namespace };
        let mut state = self.lock();
        let version = self.reload(&mut state);
        self.readable(&state)?;

        let rules = parse(SOURCE, yaml, self.mesh.surroundings(namespace));
        let rules = rules.map_err(StoreError::Refused)?;
        for rule in &rules {
            ours(&state, &rule.key)?;
        }
        let problems = state.rules.would_refuse(&rules, None, &state.contents.services);
        if !problems.is_empty() {
            return Err(StoreError::Refused(problems));
        }
        let keys = rules.iter().map(|rule| rule.key.clone()).collect();
        if dry_run {
            return Ok(Applied { keys, version });
        }
        self.write(&rules)?;
        let version = self.reload(&mut state);
        Ok(Applied { keys, version })
    }

    pub(super) fn delete(&self, key: &RuleKey, dry_run: bool) -> Result<u64, StoreError> {
        let mut state = self.lock();
        let version = self.reload(&mut state);
        self.readable(&state)?;
        if state.file_of(key).is_none() {
            return Err(StoreError::NotFound(key.clone()));
        }
        ours(&state, key)?;
        let problems = state.rules.would_refuse(&[], Some(key), &state.contents.services);
        if !problems.is_empty() {
            return Err(StoreError::Refused(problems));
        }
        if dry_run {
            return Ok(version);
        }
        let path = self.root.join(file_name(key));
        std::fs::remove_file(&path).map_err(|error| io(&path, error))?;
        Ok(self.reload(&mut state))
    }

    /// Writing into a folder that went away would make it anew, with nothing else in it.
    fn readable(&self, state: &State) -> Result<(), StoreError> {
        match &state.folder {
            Some(problem) => Err(io(&self.root, io::Error::other(problem.message.clone()))),
            None => Ok(()),
        }
    }

    /// All of them, or as it was.
    fn write(&self, rules: &[Rule]) -> Result<(), StoreError> {
        let mut done = Vec::with_capacity(rules.len());
        for rule in rules {
            let path = self.root.join(file_name(&rule.key));
            let former = std::fs::read(&path).ok();
            if let Err(error) = replace(&path, text_of(rule).as_bytes()) {
                for (path, former) in done.into_iter().rev() {
                    put_back(path, former);
                }
                return Err(io(&path, error));
            }
            done.push((path, former));
        }
        Ok(())
    }
}

fn put_back(path: PathBuf, former: Option<Vec<u8>>) {
    let result = match former {
        Some(former) => replace(&path, &former),
        None => std::fs::remove_file(&path),
    };
    if let Err(error) = result {
        tracing::error!(path = %path.display(), %error, "cannot put back the former rule");
    }
}

/// `rules/VirtualService.default.reviews.yaml`. The parts are names that Kubernetes allows;
/// only the last may have a dot, so that no two rules have one file.
fn file_name(key: &RuleKey) -> String {
    format!("{FOLDER}/{}.{}.{}.yaml", key.kind, key.namespace, key.name)
}

fn ours(state: &State, key: &RuleKey) -> Result<(), StoreError> {
    match state.file_of(key) {
        Some(file) if file != file_name(key) => {
            Err(StoreError::NotOurs { key: key.clone(), file: file.to_owned() })
        }
        _ => Ok(()),
    }
}

/// As the user wrote it; with its namespace, when that was said elsewhere.
fn text_of(rule: &Rule) -> String {
    let with_namespace = || {
        let mut document = documents(SOURCE, &rule.yaml).ok()?.into_iter().next()?;
        let metadata = document.value.get_mut("metadata")?.as_object_mut()?;
        if metadata.contains_key("namespace") || rule.key.namespace == "default" {
            return None;
        }
        metadata.insert("namespace".to_owned(), Value::String(rule.key.namespace.clone()));
        mesh_yaml::write(&document.value).ok()
    };
    with_namespace().unwrap_or_else(|| rule.yaml.clone())
}

/// By a file beside it, so that nobody ever reads half of it.
fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = path.with_file_name(format!(".{name}.new"));
    let written = (|| {
        std::fs::create_dir_all(path.parent().unwrap_or(path))?;
        let mut file = std::fs::File::create(&beside)?;
        file.write_all(text)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)
    })();
    if written.is_err() {
        // It may never have been made.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

pub(super) fn io(path: &Path, error: io::Error) -> StoreError {
    StoreError::Io { path: path.display().to_string(), error }
}
