//! A program on one core, and what it uses.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

const START_DEADLINE: Duration = Duration::from_secs(20);

/// What the kernel counts in: USER_HZ, 100 on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A program pinned to a core; killed when dropped.
pub(super) struct Pinned {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Pinned {
    /// Starts `program` with `args` on `core`, its output in a file in `folder`.
    pub(super) fn start(core: &str, program: &Path, args: &[&str], folder: &Path) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        // taskset becomes the program, so the process id is the program's.
        let child = Command::new("taskset")
            .args(["--cpu-list", core])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name} with taskset"))?;
        Ok(Self { name, child, log })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it listens on these addresses.
    ///
    /// # Errors
    /// When it ends, with what it said, and after 20 s.
    pub(super) fn listening(&mut self, addresses: &[SocketAddr]) -> Result<()> {
        let start = Instant::now();
        while !addresses.iter().all(|address| TcpStream::connect(address).is_ok()) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_DEADLINE {
                let said = std::fs::read_to_string(&self.log).unwrap_or_default();
                bail!("{} does not listen on {addresses:?} ({ended:?}):\n{said}", self.name);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
pub(super) struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub(super) cpu: Duration,
    /// Memory that is resident now, in bytes.
    pub(super) resident: u64,
}

impl Usage {
    /// # Errors
    /// When there is no such process.
    pub(super) fn of(id: u32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{id}/{file}");
            std::fs::read_to_string(&path).with_context(|| format!("{path}: the process is gone"))
        };
        let (stat, status) = (read("stat")?, read("status")?);
        let cpu = cpu(&stat).context("/proc/…/stat: no CPU time")?;
        let resident = resident(&status).context("/proc/…/status: no VmRSS")?;
        Ok(Self { cpu, resident })
    }
}

fn cpu(stat: &str) -> Option<Duration> {
    // The name, in parentheses, may contain spaces. utime and stime are fields 14 and 15,
    // the first one after the name is field 3.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}

/// `N` TCP addresses of this machine on which nobody listens.
pub(super) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::new();
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address)?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_numbers() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert!(Usage::of(std::process::id()).unwrap().resident > 0);
    }
}
