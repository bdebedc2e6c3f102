//! The cluster that the tests run in.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use super::{Args, Which};
use crate::cluster::{self, Cluster};
use crate::docker::Docker;
use crate::kube::Kube;
use crate::paths::find_command;
use crate::{command, images, progress};

pub(super) struct Place {
    pub(super) kube: Kube,
    /// This machine's own.
    own: Option<Cluster>,
    /// It is not ours to take down.
    was_up: bool,
}

impl Place {
    /// Brings it up, unless it is up.
    ///
    /// # Errors
    /// When it cannot be brought up, or there is no kubectl.
    pub(super) fn open(args: &Args) -> Result<Self> {
        if args.cluster == Which::Current {
            let kube = Kube::of_user()?;
            kube.read(&["get", "nodes"]).context("the cluster of the current context")?;
            return Ok(Self { kube, own: None, was_up: true });
        }
        // With nobody there it is what a run that was killed has left.
        let was_up = cluster::is_up() && !command::is_ci();
        let own = match was_up && !args.up.is_from_packages() {
            true => cluster::current()?,
            false => cluster::up(&args.up).inspect_err(|_| give_up(was_up))?,
        };
        Ok(Self { kube: own.kube()?, own: Some(own), was_up })
    }

    /// Builds the images of these binaries and gets them into the cluster; gives their tag.
    ///
    /// # Errors
    /// When Docker or kind fail, or nobody has said how they could get there.
    pub(super) fn bring_images(&self, binaries: &Path, args: &Args) -> Result<String> {
        let (docker, base) = match &self.own {
            Some(_) => cluster::builder()?,
            None => (Docker::found()?, None),
        };
        images::build(&docker, binaries, base.as_deref())?;
        let tag = images::tag_by_content(&docker)?;
        let names = images::names_with(&tag);
        match (&self.own, &args.hub) {
            (_, Some(hub)) => push(&docker, hub, &names)?,
            (Some(cluster), None) => cluster.load(&names)?,
            (None, None) => self.load_into_users_kind(&names)?,
        }
        Ok(tag)
    }

    fn load_into_users_kind(&self, names: &[String]) -> Result<()> {
        let context = self.kube.read(&["config", "current-context"])?;
        let name = context.trim().strip_prefix("kind-").with_context(|| {
            format!(
                "the current context, {}, is no cluster of kind's: how do the images get there? \
                 Name a registry by --hub",
                context.trim()
            )
        })?;
        let kind = find_command("kind").context("kind is missing: install it")?;
        command::run(Command::new(kind).args(["load", "docker-image", "--name", name]).args(names))
    }

    /// Whether the cluster is there when this program has ended.
    pub(super) fn outlives_this(&self) -> bool {
        self.was_up
    }

    /// Takes it down, unless it was up before, or is to be kept.
    ///
    /// # Errors
    /// When something of it does not end.
    pub(super) fn close(self, keep: bool) -> Result<()> {
        if self.was_up || keep {
            return Ok(());
        }
        cluster::down()
    }
}

/// Half a cluster is not left behind.
fn give_up(was_up: bool) {
    if !was_up && let Err(why) = cluster::down() {
        eprintln!("not everything of the cluster has ended: {why:#}");
    }
}

fn push(docker: &Docker, hub: &str, names: &[String]) -> Result<()> {
    for name in names {
        let remote = in_hub(hub, name);
        command::read(docker.command().args(["tag", name, &remote]))?;
        progress::watch(&format!("push {remote}"), None, docker.command().args(["push", &remote]))?;
    }
    Ok(())
}

/// `mesh/proxy:1` as it is called in a registry.
pub(super) fn in_hub(hub: &str, name: &str) -> String {
    format!("{hub}/{}", name.rsplit('/').next().unwrap_or(name))
}
