//! Programs that a test makes.
//!
//! Another process writes them. Were it this one, whatever another thread starts meanwhile
//! would have the file open for writing until it runs its own program, and who runs the
//! file then is told ETXTBSY.

use std::path::Path;
use std::process::Command;

/// A script, which everybody may run.
///
/// # Panics
/// When it cannot be written.
pub fn write_script(path: &Path, text: &str) {
    let source = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(source.path(), text).unwrap();
    copy_program(source.path(), path);
}

/// A copy of a program, which everybody may run.
///
/// # Panics
/// When there is no such program, or it cannot be written.
pub fn copy_program(from: &Path, to: &Path) {
    let status = Command::new("install").args(["-m", "755", "--"]).args([from, to]).status();
    assert!(status.unwrap().success(), "{} cannot be copied to {}", from.display(), to.display());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_runs_while_other_threads_start_programs() {
        let folder = tempfile::tempdir().unwrap();
        let runs = |path: &Path| Command::new(path).status().is_ok_and(|status| status.success());
        std::thread::scope(|scope| {
            let others = scope.spawn(|| (0..50).all(|_| runs(Path::new("true"))));
            for number in 0..10 {
                let script = folder.path().join(number.to_string());
                write_script(&script, "#!/bin/sh\nexit 0\n");
                assert!(runs(&script));
            }
            assert!(others.join().unwrap());
        });
    }
}
