//! `/memory`, and the same numbers as statistics.

use serde_json::{Value, json};

use crate::stats::{Level, Registry};

/// What the kernel says of the process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Memory {
    /// In use: what is in memory and no file's.
    allocated: u64,
    /// What was asked for, used or not.
    heap_size: u64,
    /// All that is in memory.
    physical: u64,
}

impl Memory {
    /// Zeros where the kernel says nothing.
    fn now() -> Self {
        Self::parse(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn parse(status: &str) -> Self {
        let of = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
            kilobytes.and_then(|number| number.parse::<u64>().ok()).unwrap_or_default() * 1024
        };
        Self { allocated: of("RssAnon"), heap_size: of("VmData"), physical: of("VmRSS") }
    }
}

/// In the shape of Envoy's `Memory`. What only its allocator knows is zero.
pub(super) fn page() -> Value {
    let Memory { allocated, heap_size, physical } = Memory::now();
    // A protobuf number of 64 bits is a text in JSON.
    json!({
        "allocated": allocated.to_string(),
        "heap_size": heap_size.to_string(),
        "pageheap_unmapped": "0",
        "pageheap_free": "0",
        "total_thread_cache": "0",
        "total_physical_bytes": physical.to_string(),
    })
}

/// `server.memory_*`
pub(super) struct Stats {
    allocated: Level,
    heap_size: Level,
    physical: Level,
}

impl Stats {
    pub(super) fn new(registry: &Registry) -> Self {
        let level = |name| registry.level(&format!("server.memory_{name}"));
        Self {
            allocated: level("allocated"),
            heap_size: level("heap_size"),
            physical: level("physical_size"),
        }
    }

    /// Brings them up to date.
    pub(super) fn publish(&self) {
        let memory = Memory::now();
        self.allocated.set(memory.allocated);
        self.heap_size.set(memory.heap_size);
        self.physical.set(memory.physical);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_counts_kilobytes() {
        let status = "VmRSS:\t   20 kB\nRssAnon:\t    7 kB\nVmData:\t   30 kB\nThreads:\t4\n";
        let expected = Memory { allocated: 7168, heap_size: 30720, physical: 20480 };
        assert_eq!(Memory::parse(status), expected);
        assert_eq!(Memory::parse(""), Memory::default());
        assert!(Memory::now().physical > 0);
    }
}
