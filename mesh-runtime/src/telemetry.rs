//! Logs: tracing to standard error, one line an event.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

/// The level was not understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "log level {0:?} is not one of error, warn, info, debug, trace, nor a list like info,mesh_xds=debug"
)]
pub struct BadLevel(String);

/// Starts logging at `level`: Envoy's and tracing's names (`critical`, `error`, `warning`,
/// `warn`, `info`, `debug`, `trace`, `off`) or a list of targets such as
/// `info,mesh_xds=debug`. Colours only on a terminal, and never with NO_COLOR set.
pub fn init(level: &str) -> Result<(), BadLevel> {
    let filter = EnvFilter::try_new(normalised(level)).map_err(|_| BadLevel(level.to_owned()))?;
    let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    // A second call (in tests) keeps the first subscriber.
    let _ = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(colours)
        .with_target(false)
        .try_init();
    Ok(())
}

/// Envoy's names for levels that tracing calls otherwise.
fn normalised(level: &str) -> &str {
    match level {
        "warning" => "warn",
        "critical" => "error",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_envoys_names() {
        for level in ["critical", "warning", "info", "debug,mesh_xds=trace", "off"] {
            assert!(init(level).is_ok(), "{level}");
        }
        assert!(init("mesh=loud").is_err());
    }
}
