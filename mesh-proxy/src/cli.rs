//! The command line: Envoy's flags.

mod args;
mod file;
mod run;

use std::process::ExitCode;

use clap::Parser as _;

use crate::admin::Trim;
use args::{Args, Mode};

/// Runs the program; gives its exit code: 1 for a bad file and for a start that failed.
/// `trim` gives memory that the calling thread has freed back to the system.
pub fn main(trim: fn()) -> ExitCode {
    match go(&Args::parse(), trim) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn go(args: &Args, trim: Trim) -> anyhow::Result<()> {
    let level = args.log_level.as_str();
    mesh_runtime::telemetry::init(level)?;
    let (config, message) = file::load(args)?;
    match args.mode {
        Mode::Validate => {
            println!("configuration OK");
            Ok(())
        }
        Mode::Serve => {
            trim();
            run::run(args, &config, message, trim)
        }
    }
}
