//! Which functions run: a breakpoint at the begin of each, which is taken away when it is
//! reached. The processes go on as fast as before.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::functions::{Functions, When};

/// Where `meshctl local` runs the mesh's programs from.
const FOLDER: &str = "/run/mesh-local/bin";

/// `int3`.
const BREAKPOINT: u8 = 0xcc;

const POLL: Duration = Duration::from_micros(100);

/// How long threads that have stopped at a breakpoint may take to be seen, at the end.
const LAST: Duration = Duration::from_secs(1);

/// Watches until it is stopped.
pub(super) struct Trace {
    stop: Arc<AtomicBool>,
    sometimes: Arc<AtomicBool>,
    /// Only the thread that began to trace may go on with it.
    thread: JoinHandle<Result<Vec<Functions>>>,
}

impl Trace {
    /// Watches these programs' processes in the local mesh.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn start(programs: Vec<Functions>) -> Result<Self> {
        let (stop, sometimes) = (Arc::default(), Arc::default());
        let (flag, rare) = (Arc::clone(&stop), Arc::clone(&sometimes));
        let (begun, beginning) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut tracer = Tracer::begin(programs, rare)?;
            // The other end waits.
            let _ = begun.send(());
            tracer.run(&flag)?;
            Ok(tracer.programs)
        });
        if beginning.recv().is_err() {
            return match thread.join() {
                Ok(Err(error)) => Err(error),
                _ => bail!("the tracer ended at once"),
            };
        }
        Ok(Self { stop, sometimes, thread })
    }

    /// What runs from here on for the first time runs [`When::Sometimes`].
    pub(super) fn sometimes(&self) {
        self.sometimes.store(true, Ordering::Relaxed);
    }

    /// Ends it; gives what ran.
    ///
    /// # Errors
    /// When it could not go on.
    pub(super) fn stop(self) -> Result<Vec<Functions>> {
        self.stop.store(true, Ordering::Relaxed);
        let Ok(programs) = self.thread.join() else { bail!("the tracer panicked") };
        programs
    }
}

struct Tracer {
    programs: Vec<Functions>,
    sometimes: Arc<AtomicBool>,
    processes: Vec<Process>,
    /// Each thread, with the index of its process.
    threads: Vec<(Pid, usize)>,
}

/// A process, stuck with breakpoints.
struct Process {
    /// The index of its program.
    program: usize,
    base: u64,
    memory: File,
    /// The bytes in whose place breakpoints are, by address.
    left: HashMap<u64, u8>,
}

impl Tracer {
    fn begin(programs: Vec<Functions>, sometimes: Arc<AtomicBool>) -> Result<Self> {
        let mut tracer = Self { programs, sometimes, processes: Vec::new(), threads: Vec::new() };
        for entry in std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()) {
            // It may have ended since, and it may not be a process.
            let Ok(program) = std::fs::read_link(entry.path().join("exe")) else { continue };
            let is = |functions: &Functions| program == Path::new(FOLDER).join(&functions.program);
            let Some(index) = tracer.programs.iter().position(is) else { continue };
            tracer.add(index, &entry.path())?;
        }
        ensure!(!tracer.processes.is_empty(), "no process of {FOLDER}");
        Ok(tracer)
    }

    fn add(&mut self, program: usize, process: &Path) -> Result<()> {
        for thread in std::fs::read_dir(process.join("task"))? {
            let name = thread?.file_name();
            let id = name.to_str().and_then(|id| id.parse().ok()).context("a thread's number")?;
            ptrace::seize(Pid::from_raw(id), Options::PTRACE_O_TRACECLONE)?;
            self.threads.push((Pid::from_raw(id), self.processes.len()));
        }
        let functions = &self.programs[program];
        self.processes.push(Process::new(program, process, functions)?);
        Ok(())
    }

    fn run(&mut self, stop: &AtomicBool) -> Result<()> {
        let mut end = None;
        while end.is_none_or(|end| Instant::now() < end) {
            if end.is_none() && stop.load(Ordering::Relaxed) {
                self.processes.iter_mut().try_for_each(Process::restore)?;
                end = Some(Instant::now() + LAST);
            }
            if !self.look()? {
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }

    /// Looks at every thread once; whether one had stopped.
    fn look(&mut self) -> Result<bool> {
        let mut found = false;
        for (thread, process) in self.threads.clone() {
            let status = match waitpid(thread, Some(WaitPidFlag::WNOHANG | WaitPidFlag::__WALL)) {
                Ok(WaitStatus::StillAlive) => continue,
                Ok(status) => status,
                Err(Errno::ECHILD) => WaitStatus::Exited(thread, 0),
                Err(error) => return Err(error.into()),
            };
            found = true;
            match status {
                WaitStatus::Stopped(_, Signal::SIGTRAP) => {
                    self.reached(thread, process)?;
                    ptrace::cont(thread, None)?;
                }
                WaitStatus::Stopped(_, signal) => ptrace::cont(thread, signal)?,
                WaitStatus::PtraceEvent(_, _, event) => {
                    if event == nix::libc::PTRACE_EVENT_CLONE {
                        let id = i32::try_from(ptrace::getevent(thread)?)?;
                        self.threads.push((Pid::from_raw(id), process));
                    }
                    ptrace::cont(thread, None)?;
                }
                _ => self.threads.retain(|(other, _)| *other != thread),
            }
        }
        Ok(found)
    }

    /// A thread is behind a breakpoint, which another one may have reached before.
    fn reached(&mut self, thread: Pid, process: usize) -> Result<()> {
        let process = &mut self.processes[process];
        let mut registers = ptrace::getregs(thread)?;
        registers.rip -= 1;
        let address = registers.rip.wrapping_sub(process.base);
        if let Some(byte) = process.left.remove(&address) {
            process.put(address, byte)?;
        }
        let is_rare = self.sometimes.load(Ordering::Relaxed);
        let when = if is_rare { When::Sometimes } else { When::Always };
        self.programs[process.program].ran(address, when);
        Ok(ptrace::setregs(thread, registers)?)
    }
}

impl Process {
    fn new(program: usize, folder: &Path, functions: &Functions) -> Result<Self> {
        let maps = std::fs::read_to_string(folder.join("maps"))?;
        // The first mapping of the file is of its begin.
        let line = maps.lines().find(|line| line.contains(FOLDER)).context("the program's map")?;
        let base = line.split('-').next().context("a mapping's start")?;
        let base = u64::from_str_radix(base, 16).context("a mapping's start")?;
        let memory = File::options().read(true).write(true).open(folder.join("mem"))?;
        let mut process = Self { program, base, memory, left: HashMap::new() };
        for address in functions.addresses() {
            let mut byte = [0];
            process.memory.read_exact_at(&mut byte, base + address)?;
            process.left.insert(address, byte[0]);
            process.put(address, BREAKPOINT)?;
        }
        Ok(process)
    }

    fn put(&self, address: u64, byte: u8) -> Result<()> {
        Ok(self.memory.write_all_at(&[byte], self.base + address)?)
    }

    fn restore(&mut self) -> Result<()> {
        std::mem::take(&mut self.left).into_iter().try_for_each(|(at, byte)| self.put(at, byte))
    }
}
