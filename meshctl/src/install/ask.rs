//! A question on a terminal.

use std::io::IsTerminal;

use anyhow::{Result, bail};

/// Goes on only when somebody says so.
pub(super) fn ask(what: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("{what} Nobody can be asked here: say --yes");
    }
    eprint!("{what} Go on? [y/N] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if !matches!(answer.trim().to_lowercase().as_str(), "y" | "yes") {
        bail!("nothing was done");
    }
    Ok(())
}
