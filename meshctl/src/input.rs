//! Files that a command reads.

use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

/// The text of a file; `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<String> {
    if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}
