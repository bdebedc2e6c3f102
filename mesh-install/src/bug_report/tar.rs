//! An archive of texts, in POSIX's ustar form (IEEE Std 1003.1, pax).

const BLOCK: usize = 512;

/// Adds files one after the other; [`Tar::finish`] gives the archive.
#[derive(Default)]
pub(super) struct Tar(Vec<u8>);

impl Tar {
    /// A name that is too long for the form is cut in front: what tells files apart is behind.
    pub(super) fn add(&mut self, name: &str, content: &[u8], modified: u64) {
        let mut header = [0_u8; BLOCK];
        let (folder, file) = split(name);
        let mut field =
            |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        field(0, file);
        field(100, b"0000644\0");
        field(108, b"0000000\0");
        field(116, b"0000000\0");
        field(124, format!("{:011o}\0", content.len()).as_bytes());
        field(136, format!("{modified:011o}\0").as_bytes());
        // While it is summed up, the sum's own place counts as spaces.
        field(148, b"        ");
        field(156, b"0");
        field(257, b"ustar\x0000");
        field(345, folder);
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.0.extend_from_slice(&header);
        self.0.extend_from_slice(content);
        let end = self.0.len().next_multiple_of(BLOCK);
        self.0.resize(end, 0);
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let end = self.0.len() + 2 * BLOCK;
        self.0.resize(end, 0);
        self.0
    }
}

/// Folder and file name, which have 155 and 100 bytes.
fn split(name: &str) -> (&[u8], &[u8]) {
    let (folder, file) = name.rsplit_once('/').unwrap_or(("", name));
    let last = |bytes: &[u8], most: usize| bytes.len().saturating_sub(most);
    let (folder, file) = (folder.as_bytes(), file.as_bytes());
    (&folder[last(folder, 155)..], &file[last(file, 100)..])
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What tar itself makes of it.
    #[test]
    fn tar_reads_it() {
        let Some(tar) = mesh_testkit::require_command("tar") else { return };
        let folder = tempfile::tempdir().unwrap();
        let long = format!("report/{}/{}.log", "n".repeat(120), "p".repeat(90));
        let mut archive = Tar::default();
        archive.add("report/a.txt", b"hello\n", 1_700_000_000);
        archive.add(&long, &[b'x'; 1000], 0);
        archive.add("report/empty", b"", 0);
        let file = folder.path().join("a.tar");
        std::fs::write(&file, archive.finish()).unwrap();
        let output = Command::new(tar).arg("-xf").arg(&file).current_dir(folder.path()).output();
        assert!(output.as_ref().unwrap().status.success(), "{output:?}");
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        assert_eq!(read("report/a.txt"), b"hello\n");
        assert_eq!(read(&long).len(), 1000);
        assert!(read("report/empty").is_empty());
    }
}
