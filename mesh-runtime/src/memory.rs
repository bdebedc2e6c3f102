//! Memory that only the start of a program needs.

use std::ffi::c_void;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::mm::{Advice, madvise};

/// Lets go of the program's code, all of which its start has mapped. What is run from now on
/// comes back from the kernel's page cache, in pieces of 64 KB; what is not, such as the
/// reading of flags, is no longer resident. For a process that waits most of its time this is
/// more than half of its resident memory.
///
/// # Errors
/// When `/proc/self` cannot be read, or the kernel refuses; then nothing has changed.
pub fn forget_code() -> io::Result<()> {
    let program = fs::metadata("/proc/self/exe")?.ino();
    let maps = fs::read_to_string("/proc/self/maps")?;
    let code = maps.lines().filter_map(Mapping::of_code).filter(|code| code.inode == program);
    code.into_iter().try_for_each(Mapping::forget)
}

/// A line of `/proc/…/maps` (proc(5)).
#[derive(Debug, PartialEq)]
struct Mapping {
    start: usize,
    end: usize,
    inode: u64,
}

impl Mapping {
    /// That of code: private, never written, and the same as in its file. Data that is only
    /// read may have been relocated by the loader, and is not.
    fn of_code(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        fields.next().filter(|permissions| *permissions == "r-xp")?;
        let inode = fields.nth(2)?.parse().ok().filter(|inode| *inode != 0)?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        Some(Self { start: address(start)?, end: address(end)?, inode })
    }

    fn forget(self) -> io::Result<()> {
        let start: *mut c_void = std::ptr::with_exposed_provenance_mut(self.start);
        // SAFETY: the pages are clean pages of this program's own file, which cannot be
        // written while it runs (ETXTBSY): each comes back with the same content.
        #[expect(unsafe_code, reason = "madvise takes any address")]
        let done = unsafe { madvise(start, self.end - self.start, Advice::LinuxDontNeed) };
        done.map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_alone_is_forgotten() {
        let line = |permissions| format!("1000-3000 {permissions} 0001 fe:00 77    /bin/program");
        let code = Mapping { start: 0x1000, end: 0x3000, inode: 77 };
        assert_eq!(Mapping::of_code(&line("r-xp")), Some(code));
        assert_eq!(Mapping::of_code(&line("r--p")), None);
        assert_eq!(Mapping::of_code("1000-3000 r-xp 0000 00:00 0    [vdso]"), None);
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
        forget_code().unwrap();
        let after = resident();
        assert!(after < before, "{before} kB before, {after} kB after");
    }
}
