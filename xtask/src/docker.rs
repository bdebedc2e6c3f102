//! A Docker engine, the user's or our own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Result, ensure};

use crate::command;
use crate::paths::find_command;

/// A Docker client and the engine that it speaks to.
#[derive(Clone)]
pub(crate) struct Docker {
    program: PathBuf,
    /// Another engine than the one that the client finds by itself.
    host: Option<String>,
}

impl Docker {
    /// The engine that the user's client speaks to.
    ///
    /// # Errors
    /// When there is no client, or its engine does not answer.
    pub(crate) fn found() -> Result<Self> {
        let program = find_command("docker");
        let docker = Self { program: program.unwrap_or_else(|| "docker".into()), host: None };
        let version =
            command::output(docker.command().args(["version", "--format", "{{.Server}}"]));
        let answers = version.is_ok_and(|output| output.status.success());
        ensure!(
            answers,
            "no Docker engine answers (`docker version`): install or start one, or have \
             `cargo xtask cluster up --from-packages` make one of its own"
        );
        Ok(docker)
    }

    /// The engine behind this Unix socket.
    pub(crate) fn at(program: PathBuf, socket: &Path) -> Self {
        Self { program, host: Some(format!("unix://{}", socket.display())) }
    }

    /// A `docker` command for this engine.
    pub(crate) fn command(&self) -> Command {
        let mut docker = Command::new(&self.program);
        self.choose(&mut docker);
        docker
    }

    /// Has a program that calls Docker use this engine, and this very client.
    pub(crate) fn choose(&self, program: &mut Command) {
        let Some(host) = &self.host else { return };
        program.env("DOCKER_HOST", host).env_remove("DOCKER_CONTEXT");
        // The client keeps to the builder that every engine has, without a plugin of its own.
        program.env("DOCKER_BUILDKIT", "0");
        if let Some(folder) = self.program.parent() {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&path));
            if let Ok(path) = std::env::join_paths(folders) {
                program.env("PATH", path);
            }
        }
    }

    /// Whether the engine has this image.
    ///
    /// # Errors
    /// When the client cannot be started.
    pub(crate) fn has_image(&self, image: &str) -> Result<bool> {
        let mut inspect = self.command();
        inspect.args(["image", "inspect", image]).stdin(Stdio::null());
        Ok(command::output(&mut inspect)?.status.success())
    }

    /// Removes the images that have no name any more; not from the user's engine, where others
    /// may want them.
    ///
    /// # Errors
    /// When the client fails.
    pub(crate) fn prune(&self) -> Result<()> {
        if self.host.is_none() {
            return Ok(());
        }
        command::read(self.command().args(["image", "prune", "--force"])).map(drop)
    }

    /// Removes the images of `image`'s name that have another tag, but for those in use.
    ///
    /// # Errors
    /// When the client fails.
    pub(crate) fn remove_older(&self, image: &str) -> Result<()> {
        self.remove_others(image, |_| true)
    }

    /// Removes the images of `image`'s name that have another tag, of those whose whole name
    /// `is_one`, but for those in use.
    ///
    /// # Errors
    /// When the client fails.
    pub(crate) fn remove_others(&self, image: &str, is_one: impl Fn(&str) -> bool) -> Result<()> {
        let name = image.rsplit_once(':').map_or(image, |(name, _)| name);
        let mut list = self.command();
        list.args(["image", "ls", "--format", "{{.Repository}}:{{.Tag}}", name]);
        let list = command::read(&mut list)?;
        let others = list.lines().filter(|found| *found != image);
        let older: Vec<&str> = others.filter(|found| is_one(found)).collect();
        if !older.is_empty() {
            command::output(self.command().args(["image", "rm"]).args(older))?;
        }
        Ok(())
    }
}
