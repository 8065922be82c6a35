//! How the machine is that usher runs on.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use crate::shutdown::Shutdown;

const EVERY: Duration = Duration::from_secs(10);

/// One look at the machine. What could not be read is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Host {
    pub name: String,
    pub load_15m_per_core: Option<f64>,
    /// Share of the memory, 0 to 1.
    pub memory_available: Option<f64>,
    /// In bytes.
    pub memory: Option<Memory>,
    /// Share of the last ten seconds in which somebody waited for memory, 0 to 1.
    pub memory_pressure: Option<f64>,
    /// Processors that may be used.
    pub cores: Option<u32>,
    /// Share of the disk that holds the state, 0 to 1.
    pub disk_available: Option<f64>,
}

/// The memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Memory {
    pub total: u64,
    /// What can be had without anybody being hurt.
    pub available: u64,
}

/// Looks at the machine until shutdown.
pub async fn watch(state_dir: PathBuf, host: watch::Sender<Host>, mut shutdown: Shutdown) {
    loop {
        host.send_replace(Host::now(&state_dir));
        tokio::select! {
            biased;
            () = shutdown.begun() => return,
            () = sleep(EVERY) => {}
        }
    }
}

impl Host {
    pub fn now(state_dir: &Path) -> Self {
        Self {
            name: name(),
            load_15m_per_core: fs::read_to_string("/proc/loadavg")
                .ok()
                .and_then(|text| load_15m(&text))
                .map(|load| load / f64::from(cores().unwrap_or(1))),
            memory_available: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| memory_available(&text)),
            memory: fs::read_to_string("/proc/meminfo")
                .ok()
                .and_then(|text| memory(&text)),
            // Absent where the kernel is old or does not count it.
            memory_pressure: fs::read_to_string("/proc/pressure/memory")
                .ok()
                .and_then(|text| pressure(&text)),
            cores: cores(),
            disk_available: disk_available(state_dir),
        }
    }
}

/// The share of the memory this process may use that it does use: of its control group's limit, or
/// else of the machine's.
pub fn memory_used() -> Option<f64> {
    let number = |path: &str| fs::read_to_string(path).ok()?.trim().parse::<f64>().ok();
    let group = "/sys/fs/cgroup";
    if let (Some(most), Some(used)) = (
        number(&format!("{group}/memory.max")),
        number(&format!("{group}/memory.current")),
    ) {
        let stat = fs::read_to_string(format!("{group}/memory.stat")).ok()?;
        // The kernel drops these pages before anybody runs out.
        let cached = stat
            .lines()
            .find_map(|line| line.strip_prefix("inactive_file "))
            .and_then(|value| value.parse::<f64>().ok());
        return Some((used - cached.unwrap_or_default()) / most);
    }
    let resident = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: f64 = resident.split_whitespace().nth(1)?.parse().ok()?;
    let page = u32::try_from(rustix::param::page_size()).ok()?;
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    Some(pages * f64::from(page) / (memory_total(&meminfo)? * 1024.0))
}

/// The name other machines know this one by; in a container, the container's.
pub fn name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}

fn cores() -> Option<u32> {
    let cores = thread::available_parallelism().ok()?;
    Some(u32::try_from(cores.get()).unwrap_or(u32::MAX))
}

fn load_15m(text: &str) -> Option<f64> {
    text.split_whitespace().nth(2)?.parse().ok()
}

/// A value of `/proc/meminfo` in KiB.
fn meminfo(text: &str, key: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_whitespace().next()?.parse().ok()
}

fn memory_total(text: &str) -> Option<f64> {
    meminfo(text, "MemTotal:").filter(|total| *total > 0.0)
}

fn memory_available(text: &str) -> Option<f64> {
    Some(meminfo(text, "MemAvailable:")? / memory_total(text)?)
}

fn memory(text: &str) -> Option<Memory> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "KiB of a machine's memory"
    )]
    let bytes = |kib: f64| (kib * 1_024.0) as u64;
    Some(Memory {
        total: bytes(memory_total(text)?),
        available: bytes(meminfo(text, "MemAvailable:")?),
    })
}

/// The share of ten seconds in which at least one task waited, of a file of `/proc/pressure`.
fn pressure(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let mut fields = some.split_whitespace();
    let average = fields.find_map(|field| field.strip_prefix("avg10="))?;
    Some(average.parse::<f64>().ok()? / 100.0)
}

fn disk_available(path: &Path) -> Option<f64> {
    let stat = rustix::fs::statvfs(path).ok()?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a share needs no more than 53 bits"
    )]
    let share = stat.f_bavail as f64 / stat.f_blocks as f64;
    (stat.f_blocks > 0).then_some(share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_texts_are_understood() {
        assert_eq!(load_15m("0.31 0.42 1.50 2/345 6789\n"), Some(1.5));
        let meminfo = "MemTotal:       1000 kB\nMemFree:  10 kB\nMemAvailable:    620 kB\n";
        assert_eq!(memory_available(meminfo), Some(0.62));
        assert_eq!(memory_available(""), None);
        let known = Memory {
            total: 1_024_000,
            available: 634_880,
        };
        assert_eq!(memory(meminfo), Some(known));
        let waits = "some avg10=12.50 avg60=3.00 avg300=0.80 total=812\n\
                     full avg10=9.00 avg60=2.00 avg300=0.10 total=99\n";
        assert_eq!(pressure(waits), Some(0.125));
        assert_eq!(pressure(""), None);
    }

    #[test]
    fn this_machine_tells_everything() {
        let host = Host::now(Path::new("/"));
        assert!(!host.name.is_empty());
        for share in [host.memory_available, host.disk_available] {
            assert!(
                share.is_some_and(|share| share > 0.0 && share <= 1.0),
                "{host:?}"
            );
        }
        assert!(host.load_15m_per_core.is_some() && host.cores > Some(0));
        assert!(memory_used().is_some_and(|share| share > 0.0 && share < 1.0));
    }
}
