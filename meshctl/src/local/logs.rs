//! `meshctl local logs`.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use mesh_local::{Client, PodStatus};

use crate::cli::Global;

const POLL: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// Pod, the beginning of its name, deployment/NAME, or `pilot` for the control plane
    pod: String,
    /// Container [default: the first application]
    #[arg(short, long)]
    container: Option<String>,
    /// Go on as more is written
    #[arg(short, long)]
    follow: bool,
}

pub(crate) async fn run(global: &Global, args: &LogsArgs) -> Result<()> {
    let path = path(global, args).await?;
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            bail!("nothing was written yet: the container has not been started")
        }
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    if !copy(&mut file, &path)? || !args.follow {
        return Ok(());
    }
    loop {
        tokio::time::sleep(POLL).await;
        // A file that was cut is read from its start.
        if file.metadata()?.len() < file.stream_position()? {
            file.seek(SeekFrom::Start(0))?;
        }
        if !copy(&mut file, &path)? {
            return Ok(());
        }
    }
}

async fn path(global: &Global, args: &LogsArgs) -> Result<PathBuf> {
    let state = global.state();
    let report = Client::new(state.clone()).report().await?;
    if args.pod == "pilot" {
        return Ok(state.pilot_log());
    }
    let pod = super::find::pod(&report, &global.namespace, &args.pod)?;
    Ok(state.container_log(&pod.key(), container(pod, args.container.as_deref())?))
}

fn container<'a>(pod: &'a PodStatus, wanted: Option<&str>) -> Result<&'a str> {
    let names: Vec<_> = pod.containers.iter().map(|container| container.name.as_str()).collect();
    let found = match wanted {
        Some(wanted) => names.iter().find(|name| **name == wanted),
        None => names.iter().find(|name| ![INIT, PROXY].contains(name)),
    };
    match found {
        Some(name) => Ok(name),
        None => bail!("pod {} has no such container; it has: {}", pod.name, names.join(", ")),
    }
}

const INIT: &str = mesh_inject::INIT_CONTAINER;
const PROXY: &str = mesh_inject::PROXY_CONTAINER;

/// Copies what there is; tells whether somebody still reads.
fn copy(file: &mut File, path: &Path) -> Result<bool> {
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    let mut out = std::io::stdout();
    Ok(out.write_all(&bytes).and_then(|()| out.flush()).is_ok())
}
