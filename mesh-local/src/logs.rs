//! The containers' output files.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// A file that is longer is cut to nothing: it lies in memory.
const LONGEST: u64 = 32 * 1024 * 1024;

/// The last line that says something.
pub(crate) fn last_line(path: &Path) -> Option<String> {
    let mut file = File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(2048))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).map(str::to_owned)
}

/// Cuts the files that have grown too long. Their writers append, so they go on at the start.
pub(crate) fn cut(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.metadata().is_ok_and(|metadata| metadata.len() > LONGEST) {
            // Tried again in a while.
            let _ = File::options().write(true).open(entry.path()).and_then(|f| f.set_len(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_that_says_something() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\n\n").unwrap();
        assert_eq!(last_line(file.path()).as_deref(), Some("two"));
        std::fs::write(file.path(), "").unwrap();
        assert_eq!(last_line(file.path()), None);
        assert_eq!(last_line(Path::new("/no/such/file")), None);
    }
}
