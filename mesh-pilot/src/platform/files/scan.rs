//! Reads the folder.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::path::Path;

const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// What is in a file, or why it cannot be read.
pub(super) type Text = Result<String, String>;

/// The text of each file in `root` and below, by its path relative to `root`. Names that
/// begin with a dot are passed over: they are half-written, or not meant for us.
pub(super) fn scan(root: &Path) -> io::Result<BTreeMap<String, Text>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && folder != root => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let path = entry.path();
            if is_hidden(&entry.file_name()) {
                continue;
            }
            // Links to files are read, as in mounted ConfigMaps; links to folders could loop.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if is_ours(&path)
                && let Some(text) = read(&path)
            {
                let relative = path.strip_prefix(root).unwrap_or(&path);
                files.insert(relative.to_string_lossy().into_owned(), text);
            }
        }
    }
    Ok(files)
}

pub(super) fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

fn is_ours(path: &Path) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// `None` when the file went away meanwhile.
fn read(path: &Path) -> Option<Text> {
    match std::fs::metadata(path) {
        // A folder with such a name, by a link.
        Ok(found) if found.is_dir() => return None,
        // Reading a pipe or a device might never end.
        Ok(found) if !found.is_file() => return Some(Err("it is not a regular file".to_owned())),
        // Reading says why.
        Ok(_) | Err(_) => {}
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Some(Ok(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Some(Err("it is not UTF-8 text".to_owned()))
        }
        Err(error) => Some(Err(format!("cannot be read: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_regular_files_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("a.yaml"), "a").unwrap();
        std::os::unix::fs::symlink("a.yaml", path("link.yaml")).unwrap();
        std::os::unix::fs::symlink("nothing", path("gone.yaml")).unwrap();
        std::os::unix::fs::symlink(".", path("folder.yaml")).unwrap();
        std::os::unix::fs::symlink("/dev/null", path("device.yaml")).unwrap();
        let pipe = std::process::Command::new("mkfifo").arg(path("pipe.yaml")).status().unwrap();
        assert!(pipe.success());

        let no_file = || Err("it is not a regular file".to_owned());
        let expected = [
            ("a.yaml", Ok("a".to_owned())),
            ("device.yaml", no_file()),
            ("link.yaml", Ok("a".to_owned())),
            ("pipe.yaml", no_file()),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text));
        assert_eq!(scan(folder.path()).unwrap(), BTreeMap::from(expected));
    }
}
