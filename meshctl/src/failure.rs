//! How a command ends that did not do what it was asked.

use std::process::ExitCode;

/// There is no control plane to talk to.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotRunning(pub(crate) String);

/// `check` found errors, and has printed them.
#[derive(Debug, thiserror::Error)]
#[error("something needs to be done; see the lines with ERROR")]
pub(crate) struct Unhealthy;

/// A check before the installation speaks against it.
#[derive(Debug, thiserror::Error)]
#[error("nothing was changed: {0}")]
pub(crate) struct Refused(pub(crate) String);

/// Prints an error with its causes and gives the exit code (`--help` lists them).
pub(crate) fn tell(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", text(error));
    ExitCode::from(code(error))
}

/// With its causes, but for those whose words it has already.
fn text(error: &anyhow::Error) -> String {
    let causes = error.chain().map(ToString::to_string);
    causes
        .reduce(|said, cause| if said.contains(&cause) { said } else { format!("{said}: {cause}") })
        .unwrap_or_default()
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
    if error.is::<Refused>() {
        return 5;
    }
    let is_late = |cause: &(dyn std::error::Error + 'static)| {
        cause.is::<mesh_install::WaitError>() || cause.is::<mesh_install::Sick>()
    };
    let is_late = error.chain().any(is_late)
        || matches!(error.downcast_ref(), Some(mesh_install::InstallError::Wait(_)))
        || matches!(error.downcast_ref(), Some(mesh_install::UninstallError::Wait(_)))
        || matches!(error.downcast_ref(), Some(mesh_install::UpgradeError::Sick(_)));
    if is_late { 4 } else { 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_said_twice() {
        let cause = anyhow::anyhow!("line 3: no colon");
        let said =
            |context: &'static str| text(&anyhow::anyhow!("line 3: no colon").context(context));
        assert_eq!(text(&cause), "line 3: no colon");
        assert_eq!(said("a.yaml"), "a.yaml: line 3: no colon");
        assert_eq!(said("a.yaml: line 3: no colon"), "a.yaml: line 3: no colon");
    }
}
