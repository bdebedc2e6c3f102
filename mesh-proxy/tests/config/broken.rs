//! Every sample is accepted, and every file of a folder of broken ones refused with the
//! message that the file beside it, `NAME.expected`, says.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::proxy::command;

/// The configurations in a folder, in the order of their names.
fn configurations(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let is_configuration = |path: &PathBuf| {
        path.extension().is_some_and(|end| ["yaml", "json"].map(OsStr::new).contains(&end))
    };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(is_configuration).collect();
    files.sort();
    files
}

fn validate(file: &Path) -> Output {
    command(&["--mode", "validate", "-c"]).arg(file).output().unwrap()
}

#[test]
fn every_sample_is_accepted() {
    let samples = configurations("../samples/static");
    assert!(!samples.is_empty());
    for sample in samples {
        let output = validate(&sample);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {message}", sample.display());
        assert_eq!(String::from_utf8_lossy(&output.stdout), "configuration OK\n");
    }
}

#[test]
fn every_broken_file_is_refused_as_expected() {
    let files = configurations("tests/broken");
    assert!(files.len() >= 50, "{} files", files.len());
    let wrong: Vec<_> = files.iter().filter_map(|file| difference(file)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is other than expected. The message is one line: the file's name, a colon and what
/// is expected; "…" at its end stands for what else there is.
fn difference(file: &Path) -> Option<String> {
    let expected = std::fs::read_to_string(file.with_extension("expected"));
    let expected = format!("{}: {}", file.display(), expected.unwrap_or_default());
    let output = validate(file);
    let message = String::from_utf8_lossy(&output.stderr);
    let is_refused = output.status.code() == Some(1) && output.stdout.is_empty();
    let is_expected = match expected.trim_end().strip_suffix('…') {
        Some(beginning) => message.starts_with(beginning),
        None => message == expected,
    };
    (!is_refused || !is_expected || message.lines().count() != 1)
        .then(|| format!("{}\n   found {message}expected {expected}", output.status))
}
