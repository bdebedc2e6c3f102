//! The command line: Envoy's flags.

mod args;
mod file;
mod run;

use std::process::ExitCode;

use clap::Parser as _;
use mesh_runtime::memory;

use crate::admin::Trim;
use crate::hot_restart::{self, Failure};
use args::{Args, Mode};

/// The running proxy speaks another version of hot restart's protocol: it has to be ended
/// before this one is started.
const OTHER_VERSION: u8 = 3;
/// The running proxy refused to hand over for now: it is starting, ending, or handing over
/// already. Later it may.
const REFUSED: u8 = 4;

/// Runs the program; gives its exit code: 1 for a bad file and for a start that failed, 3
/// when the running proxy cannot hand over to this one because it speaks another version of
/// the protocol, 4 when it refused to for now. With each of these the running proxy goes on.
/// `trim` gives memory that the calling thread has freed back to the system.
pub fn main(trim: fn()) -> ExitCode {
    match go(&Args::parse(), trim) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            match error.downcast_ref() {
                Some(Failure::Version { .. }) => OTHER_VERSION.into(),
                Some(Failure::Refused(_)) => REFUSED.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

fn go(args: &Args, trim: Trim) -> anyhow::Result<()> {
    if args.hot_restart_version {
        println!("{}", hot_restart::VERSION);
        return Ok(());
    }
    let level = args.log_level.as_str();
    let levels = mesh_runtime::telemetry::start(level, args.log_format.clone())?;
    let (config, message) = file::load(args)?;
    match args.mode {
        Mode::Validate => {
            println!("configuration OK");
            Ok(())
        }
        Mode::Serve => {
            // Of two that hand over, the new one is the largest now.
            memory::give_back(trim);
            run::run(args, &config, message, levels, trim)
        }
    }
}
