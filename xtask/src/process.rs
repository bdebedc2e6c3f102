//! Programs that are measured or watched, where they run, and what they use.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::command;

const START_DEADLINE: Duration = Duration::from_secs(60);

/// What the kernel counts in: USER_HZ, 100 on every architecture that this runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// Where a program runs, and as whom: anywhere and as this user unless said otherwise.
#[derive(Clone, Copy, Default)]
pub(crate) struct Place<'a> {
    /// The only core that it may use.
    pub(crate) core: Option<&'a str>,
    /// A network namespace, by its name. Needs root.
    pub(crate) netns: Option<&'a str>,
    /// User and group. Needs root.
    pub(crate) uid: Option<u32>,
}

impl<'a> Place<'a> {
    pub(crate) fn core(core: &'a str) -> Self {
        Self { core: Some(core), ..Self::default() }
    }

    /// `program`, to be run there. Each of these becomes the next one, so that the process id
    /// is the program's.
    pub(crate) fn command(self, program: &Path) -> Command {
        let mut words: Vec<String> = Vec::new();
        let mut prefix = |more: &[&str]| words.extend(more.iter().map(|&word| word.to_owned()));
        if let Some(core) = self.core {
            prefix(&["taskset", "--cpu-list", core]);
        }
        if let Some(netns) = self.netns {
            prefix(&["ip", "netns", "exec", netns]);
        }
        if let Some(uid) = self.uid.map(|uid| uid.to_string()) {
            prefix(&["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"]);
        }
        let mut words = words.into_iter();
        let Some(first) = words.next() else { return Command::new(program) };
        let mut command = Command::new(first);
        command.args(words).arg(program);
        command
    }
}

/// A running program; killed when dropped.
pub(crate) struct Running {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts `program` with `args`, its output in the file `NAME.log` of `folder`.
    pub(crate) fn start(
        name: &str,
        place: Place<'_>,
        program: &Path,
        args: &[&str],
        folder: &Path,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let child = place
            .command(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Errors
    /// When it has ended.
    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        // The id is this child's for as long as nobody has waited for it.
        let id = self.child.id().to_string();
        command::read(Command::new("kill").args(["-s", name, &id])).map(drop)
    }

    /// What it has printed so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has ended by itself.
    ///
    /// # Errors
    /// After `deadline`.
    pub(crate) fn ended(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(start.elapsed() < deadline, "{} is there after {deadline:?}", self.name);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until somebody listens on all these TCP ports in its network namespace.
    ///
    /// # Errors
    /// When it ends, with what it said, and after a minute.
    pub(crate) fn listening(&mut self, ports: &[u16]) -> Result<()> {
        let start = Instant::now();
        while !ports.iter().all(|port| listens(self.child.id(), *port)) {
            let ended = self.child.try_wait()?;
            if ended.is_some() || start.elapsed() > START_DEADLINE {
                let (name, said) = (&self.name, self.log());
                bail!("{name} does not listen on {ports:?} ({ended:?}):\n{said}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

/// Whether there is a listening socket with this port in the network namespace of `process`.
fn listens(process: u32, port: u16) -> bool {
    ["tcp", "tcp6"].iter().any(|family| {
        let table = std::fs::read_to_string(format!("/proc/{process}/net/{family}"));
        has_listener(&table.unwrap_or_default(), port)
    })
}

/// How many TCP connections to this port there are, from this network namespace.
pub(crate) fn connections_to(port: u16) -> Result<u64> {
    const ESTABLISHED: &str = "01";
    let table = std::fs::read_to_string("/proc/net/tcp").context("/proc/net/tcp")?;
    let remote = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let mut fields = line.split_whitespace().skip(2);
        let there = fields.next().is_some_and(|address| address.ends_with(&remote));
        there && fields.next() == Some(ESTABLISHED)
    };
    Ok(table.lines().filter(is_one).count() as u64)
}

/// Looks in the kernel's table, whose lines begin as `0: 0100007F:1F90 00000000:0000 0A`.
fn has_listener(table: &str, port: u16) -> bool {
    const LISTEN: &str = "0A";
    let local = format!(":{port:04X}");
    table.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let address = fields.next().is_some_and(|address| address.ends_with(&local));
        address && fields.nth(1) == Some(LISTEN)
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a process has used so far.
pub(crate) struct Usage {
    /// CPU time of all its threads, in user and kernel mode.
    pub(crate) cpu: Duration,
    /// Memory that is resident now, in bytes.
    pub(crate) resident: u64,
}

impl Usage {
    /// # Errors
    /// When there is no such process.
    pub(crate) fn of(id: u32) -> Result<Self> {
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

/// CPU time in a process's `/proc/…/stat`.
pub(crate) fn cpu(stat: &str) -> Option<Duration> {
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

/// `N` TCP addresses of this machine on which nobody listens, and that no other call gives.
/// Their ports are below those that the kernel gives to connections (Linux: 32768 and up,
/// `net.ipv4.ip_local_port_range`): one of those is soon somebody else's.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    const PORTS: Range<u16> = 16384..32768;
    static TRIED: AtomicU16 = AtomicU16::new(0);
    // Two that run at once begin at different places.
    let begin = std::process::id().wrapping_mul(7919);
    let mut tried = PORTS.map(|_| {
        let count = begin.wrapping_add(TRIED.fetch_add(1, Ordering::Relaxed).into());
        let port = PORTS.start + (count % PORTS.len() as u32) as u16;
        SocketAddr::from((Ipv4Addr::LOCALHOST, port))
    });
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    for address in &mut addresses {
        let free = tried.find(|address| TcpListener::bind(address).is_ok());
        *address = free.context("no TCP port is free")?;
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_found_in_the_kernels_table() {
        let table = "sl local rem st\n 0: 0100007F:1F90 00000000:0000 0A 0:0\n \
                     1: 0100007F:1F91 0100007F:1F90 01 0:0\n";
        assert!(has_listener(table, 8080));
        assert!(!has_listener(table, 8081));
    }

    #[test]
    fn no_address_is_given_twice_or_has_a_port_of_the_kernels() {
        let mut ports: Vec<u16> = [free_addresses::<8>().unwrap(), free_addresses().unwrap()]
            .as_flattened()
            .iter()
            .map(SocketAddr::port)
            .collect();
        assert!(ports.iter().all(|port| (16384..32768).contains(port)), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 16);
    }

    #[test]
    fn the_kernels_numbers() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 9 9 9";
        assert_eq!(cpu(stat), Some(Duration::from_secs(3)));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
        assert!(Usage::of(std::process::id()).unwrap().resident > 0);
    }
}
