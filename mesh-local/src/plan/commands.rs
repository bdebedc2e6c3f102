//! What runs in the place of an image: the images file, and where commands are found.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Context, Error, Result};
use crate::manifest::Key;

/// The images file, for instance:
///
/// ```yaml
/// images:
///   mesh/bookinfo:
///     command: [bookinfo]
/// ```
///
/// `mesh/proxy`, the sidecar's image, is `mesh-agent` unless the file says otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    images: BTreeMap<String, Image>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    command: Vec<String>,
}

impl Images {
    /// Reads an images file.
    ///
    /// # Errors
    /// When it cannot be read, is not of the form above, or has an empty command.
    pub fn read(file: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(file).context(|| file.display().to_string())?;
        let images: Self = mesh_yaml::read(&text)
            .map_err(|error| Error::manifest(file.display().to_string(), error.to_string()))?;
        match images.images.iter().find(|(_, image)| image.command.is_empty()) {
            Some((name, _)) => Err(Error::manifest(
                file.display().to_string(),
                format!("images.{name}.command: expected at least the program's name"),
            )),
            None => Ok(images),
        }
    }

    /// The command of an image, by its full name or the name without tag and digest.
    fn command(&self, image: &str) -> Option<Vec<String>> {
        let plain = without_tag(image);
        let found = self.images.get(image).or_else(|| self.images.get(plain));
        match found {
            Some(image) => Some(image.command.clone()),
            None if plain == "mesh/proxy" => Some(vec!["mesh-agent".to_owned()]),
            None => None,
        }
    }
}

fn without_tag(image: &str) -> &str {
    let image = image.split_once('@').map_or(image, |(name, _)| name);
    // A colon before the last slash is the registry's port.
    match image.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => name,
        _ => image,
    }
}

/// Finds programs, and says where they are inside a pod.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    /// The folder of built binaries on the host.
    pub(crate) bin_dir: PathBuf,
    /// Where pods see it. The host's path may lead through a home folder that the pods'
    /// users cannot enter.
    pub(crate) pod_bin_dir: PathBuf,
    /// Where the folders of the single pods are.
    pub(crate) pods_dir: PathBuf,
}

impl Commands {
    /// The whole command line of a container.
    pub(crate) fn command_line(
        &self,
        images: &Images,
        container: &crate::manifest::Container,
    ) -> std::result::Result<Vec<String>, String> {
        let mut line = match container.command.as_slice() {
            [] => images.command(&container.image).ok_or_else(|| {
                let image = without_tag(&container.image);
                format!(
                    "image {:?} has no command on this machine; give one in the images file \
                     (--images): images: {{\"{image}\": {{command: [\"the-program\"]}}}}",
                    container.image
                )
            })?,
            command => command.to_vec(),
        };
        line.extend(container.args.iter().cloned());
        self.found(line)
    }

    /// A command line with the path of its program inside pods.
    pub(crate) fn found(&self, mut line: Vec<String>) -> std::result::Result<Vec<String>, String> {
        if let Some(program) = line.first_mut() {
            *program = self.find(program)?;
        }
        Ok(line)
    }

    /// The path of a program inside pods.
    fn find(&self, program: &str) -> std::result::Result<String, String> {
        if program.contains('/') {
            let usable = program.starts_with('/') && is_executable(Path::new(program));
            return match usable {
                true => Ok(program.to_owned()),
                false => Err(format!(
                    "the program {program} does not exist on this machine or is not executable"
                )),
            };
        }
        if is_executable(&self.bin_dir.join(program)) {
            return Ok(self.pod_bin_dir.join(program).display().to_string());
        }
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path)
            .map(|folder| folder.join(program))
            .find(|file| is_executable(file))
            .map(|file| file.display().to_string())
            .ok_or_else(|| {
                format!(
                    "the program {program} is neither in {} nor in PATH; build it, or say where \
                     it is with --bin-dir",
                    self.bin_dir.display()
                )
            })
    }

    /// Where a pod sees another proxy's binary.
    pub(crate) fn proxy_binary(
        &self,
        pod: &Key,
        host: &Path,
    ) -> std::result::Result<PathBuf, String> {
        match (host.file_name(), is_executable(host)) {
            (Some(name), true) => Ok(self.pod_dir(pod).join("proxy").join(name)),
            _ => Err(format!("--proxy-binary: {} is not an executable file", host.display())),
        }
    }

    /// The folder that belongs to one pod.
    pub(crate) fn pod_dir(&self, pod: &Key) -> PathBuf {
        self.pods_dir.join(format!("{}.{}", pod.namespace, pod.name))
    }
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_digests_do_not_matter() {
        assert_eq!(without_tag("mesh/bookinfo:1.0"), "mesh/bookinfo");
        assert_eq!(without_tag("registry:5000/mesh/bookinfo"), "registry:5000/mesh/bookinfo");
        assert_eq!(without_tag("registry:5000/a:1@sha256:00"), "registry:5000/a");
    }

    #[test]
    fn programs_come_from_the_folder_first_then_from_path() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("web");
        std::fs::write(&program, "").unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let commands = Commands {
            bin_dir: folder.path().to_owned(),
            pod_bin_dir: PathBuf::from("/run/x/bin"),
            pods_dir: PathBuf::from("/run/x/pods"),
        };
        let images: Images = mesh_yaml::read("images: {a/web: {command: [web, --fast]}}").unwrap();
        let container = serde_json::from_value(
            serde_json::json!({"name": "web", "image": "a/web:2", "args": ["--port=1"]}),
        )
        .unwrap();
        let line = commands.command_line(&images, &container).unwrap();
        assert_eq!(line, ["/run/x/bin/web", "--fast", "--port=1"]);
        assert!(commands.find("sh").unwrap().ends_with("/sh"));
        assert!(commands.find("no-such-program").unwrap_err().contains("--bin-dir"));
        let other = serde_json::from_value(serde_json::json!({"name": "b", "image": "c"})).unwrap();
        assert!(commands.command_line(&images, &other).unwrap_err().contains("image \"c\""));
    }
}
