//! How a command ends that did not do what it was asked.

use std::process::ExitCode;

/// There is no control plane to talk to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotRunning(pub(crate) String);

/// Prints an error with its causes and gives the exit code (`--help` lists them).
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    let not_running = error.chain().any(|cause| {
        cause.is::<NotRunning>()
            || matches!(
                cause.downcast_ref::<mesh_local::Error>(),
                Some(mesh_local::Error::NotRunning(_))
            )
    });
    ExitCode::from(if not_running { 3 } else { 1 })
}
