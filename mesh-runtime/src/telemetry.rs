//! Logs: tracing to standard error, one line an event.

mod pattern;

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

pub use pattern::{BadPattern, Pattern};

/// The level was not understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "log level {0:?} is not one of error, warn, info, debug, trace, nor a list like info,mesh_xds=debug"
)]
pub struct BadLevel(String);

/// The levels in force, which may change while the program runs.
pub struct Levels {
    current: Mutex<String>,
    put: Box<dyn Fn(EnvFilter) + Send + Sync>,
}

/// Starts logging at `level`: Envoy's and tracing's names (`critical`, `error`, `warning`,
/// `warn`, `info`, `debug`, `trace`, `off`) or a list of targets such as
/// `info,mesh_xds=debug`. Colours only on a terminal, and never with NO_COLOR set.
pub fn init(level: &str) -> Result<(), BadLevel> {
    start(level, None).map(drop)
}

/// [`init`], with lines of another form where a pattern is given, and levels that can be
/// changed.
pub fn start(level: &str, pattern: Option<Pattern>) -> Result<Levels, BadLevel> {
    let filter = filter(level)?;
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let put: Box<dyn Fn(EnvFilter) + Send + Sync> = match pattern {
        Some(pattern) => {
            let builder = builder.with_ansi(false).event_format(pattern).with_filter_reloading();
            let handle = builder.reload_handle();
            // A second call (in tests) keeps the first subscriber.
            let _ = builder.try_init();
            Box::new(move |filter| _ = handle.reload(filter))
        }
        None => {
            let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            let builder = builder.with_ansi(colours).with_target(false).with_filter_reloading();
            let handle = builder.reload_handle();
            let _ = builder.try_init();
            Box::new(move |filter| _ = handle.reload(filter))
        }
    };
    Ok(Levels { current: Mutex::new(level.to_owned()), put })
}

impl Levels {
    /// What is in force, as [`init`] takes it.
    #[must_use]
    pub fn current(&self) -> String {
        self.lock().clone()
    }

    /// Puts other levels in force, as [`init`] takes them.
    pub fn set(&self, level: &str) -> Result<(), BadLevel> {
        let filter = filter(level)?;
        let mut current = self.lock();
        (self.put)(filter);
        level.clone_into(&mut current);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, String> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Its client of Kubernetes' API calls every failed request an error, without saying of what;
/// whoever has made the request says more.
const QUIET: &str = "kube_client::client::builder=off";

fn filter(level: &str) -> Result<EnvFilter, BadLevel> {
    let filter = format!("{QUIET},{}", normalised(level));
    EnvFilter::try_new(filter).map_err(|_| BadLevel(level.to_owned()))
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

    #[test]
    fn levels_change_and_bad_ones_change_nothing() {
        let levels = start("info", None).unwrap();
        levels.set("warning").unwrap();
        assert_eq!(levels.current(), "warning");
        assert!(levels.set("mesh=loud").is_err());
        assert_eq!(levels.current(), "warning");
    }
}
