//! How a command ends that did not do what it was asked.

use std::process::ExitCode;

/// There is no control plane to talk to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotRunning(pub(crate) String);

/// Prints an error with its causes and gives the exit code (`--help` lists them).
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {error:#}");
    ExitCode::from(code(error))
}

fn code(error: &anyhow::Error) -> u8 {
    let is_absent = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<NotRunning>()
            || cause.is::<mesh_install::ConnectError>()
            || matches!(
                cause.downcast_ref::<mesh_local::Error>(),
                Some(mesh_local::Error::NotRunning(_))
            )
    };
    if error.chain().any(is_absent) {
        return 3;
    }
    match error.downcast_ref::<mesh_install::InstallError>() {
        Some(mesh_install::InstallError::Wait(_)) => 4,
        _ => 1,
    }
}
