//! Memory that is resident and not used.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::time::Duration;

use rustix::mm::{Advice, madvise};
use tracing::debug;

/// When a program has done what comes after its start: the first connections, the first probes.
const SETTLED: Duration = Duration::from_secs(10);

/// For how long what is not used stays resident.
const UNUSED: Duration = Duration::from_secs(60);

/// Gives back what is not used any more, for ever: now, when the start is over, and then from
/// time to time what configuration, pages and bursts of requests took. `free` is that of
/// [`give_back`].
pub async fn keep_small(free: impl Fn()) {
    let mut pause = SETTLED;
    loop {
        give_back(&free);
        tokio::time::sleep(pause).await;
        pause = UNUSED;
    }
}

/// Gives back what is not used any more; `free` what the program's allocator keeps. It costs
/// about a millisecond.
pub fn give_back(free: impl Fn()) {
    free();
    if let Err(error) = forget_files() {
        debug!(%error, "what is not used stays resident");
    }
}

/// Lets go of everything that is the same in a file: the code and the constants of the program
/// and its libraries, all of which its start has mapped. What is used from now on comes back
/// from the kernel's page cache, in pieces of 64 KB; what is not, such as the reading of flags,
/// is no longer resident. For a process that waits most of its time this is more than half of
/// its resident memory.
///
/// # Errors
/// When `/proc/self` cannot be read, or the kernel refuses; then nothing has changed.
fn forget_files() -> io::Result<()> {
    let mappings = fs::read_to_string("/proc/self/smaps")?;
    Mapping::of_files(&mappings).try_for_each(Mapping::forget)
}

/// One of `/proc/…/smaps` (proc(5)).
#[derive(Debug, PartialEq)]
struct Mapping {
    start: usize,
    end: usize,
}

impl Mapping {
    /// Those whose pages are all their file's: private, not written now, and never before. Of
    /// those that the loader has relocated and then protected some are anonymous.
    fn of_files(smaps: &str) -> impl Iterator<Item = Self> {
        let mut last = None;
        smaps.lines().filter_map(move |line| match line.strip_prefix("Anonymous:") {
            Some(size) => last.take().filter(|_| size.trim() == "0 kB"),
            None => {
                // The other lines are fields, with a colon behind their names.
                if let Some(mapping) = Self::of_header(line) {
                    last = mapping;
                }
                None
            }
        })
    }

    /// Of the line that begins one; nothing inside when it is not that of a file, or may be
    /// written.
    fn of_header(line: &str) -> Option<Option<Self>> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let mapping = Self { start: address(start)?, end: address(end)? };
        let is_read_only = matches!(fields.next()?, "r--p" | "r-xp");
        let inode: u64 = fields.nth(2)?.parse().ok()?;
        Some((is_read_only && inode != 0).then_some(mapping))
    }

    fn forget(self) -> io::Result<()> {
        let start: *mut c_void = std::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the pages are those of a file, in the page cache: each comes back with the
        // content that it would have had by then anyway. What a program has mapped of files are
        // its libraries, which stay, so nothing else has come into their place meanwhile.
        #[expect(unsafe_code, reason = "madvise takes any address")]
        let done = unsafe { madvise(start, self.end - self.start, Advice::LinuxDontNeed) };
        done.map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_files_alone_are_forgotten() {
        let one = |header: &str, anonymous: &str| {
            format!("{header}\nRss: 4 kB\nAnonymous:   {anonymous} kB\nVmFlags: rd mr\n")
        };
        let text = [
            one("1000-2000 r--p 00000000 fe:00 77    /bin/program", "0"),
            one("2000-4000 r-xp 00001000 fe:00 77    /bin/program", "0"),
            // Relocated by the loader.
            one("4000-5000 r--p 00003000 fe:00 77    /bin/program", "4"),
            one("5000-6000 rw-p 00004000 fe:00 77    /bin/program", "0"),
            one("6000-7000 r--s 00000000 fe:00 78    /shared", "0"),
            one("7000-8000 r--p 00000000 00:00 0", "0"),
            one("8000-9000 r-xp 00000000 00:00 0     [vdso]", "0"),
        ];
        let found: Vec<_> = Mapping::of_files(&text.concat()).collect();
        let (constants, code) = ((0x1000, 0x2000), (0x2000, 0x4000));
        let expected = [constants, code].map(|(start, end)| Mapping { start, end });
        assert_eq!(found, expected);
    }

    #[test]
    fn the_program_goes_on_and_is_smaller() {
        let resident = || {
            let status = fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
            line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
        };
        // All of it is there.
        assert_eq!(fs::read("/proc/self/exe").unwrap()[..4], *b"\x7fELF");
        let before = resident();
        forget_files().unwrap();
        let after = resident();
        assert!(after < before, "{before} kB before, {after} kB after");
    }
}
