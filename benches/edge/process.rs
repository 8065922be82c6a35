//! What the kernel tells about processes.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};

/// A process and everything that descends from it.
pub fn family(root: u32) -> Vec<u32> {
    let parents = parents();
    let mut family = vec![root];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        let children = parents.iter().filter(|(_, of)| **of == parent);
        family.extend(children.map(|(child, _)| *child));
        next += 1;
    }
    family
}

/// User and system time that these processes have used, all their threads together.
pub fn cpu(processes: &[u32]) -> Duration {
    let ticks: u64 = processes
        .iter()
        .map(|process| {
            let stat = stat(*process).expect("a process that still runs");
            number(&stat, 11) + number(&stat, 12)
        })
        .sum();
    Duration::from_nanos(ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()))
}

/// Resident memory of these processes in KiB.
pub fn resident(processes: &[u32]) -> u64 {
    processes
        .iter()
        .map(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status"));
            let status = status.expect("a process that still runs");
            let value = status
                .lines()
                .find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB"));
            value
                .and_then(|value| value.trim().parse::<u64>().ok())
                .expect("VmRSS in kB")
        })
        .sum()
}

/// Every process started from here may open as many files as the system lets it.
pub fn allow_many_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a higher limit of open files");
}

/// Every process and its parent.
fn parents() -> BTreeMap<u32, u32> {
    let processes = fs::read_dir("/proc").expect("/proc");
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|process| {
            let parent = stat(process)?.get(1)?.parse().ok()?;
            Some((process, parent))
        })
        .collect()
}

/// The fields of /proc/PID/stat from the third on: the second, the name, may hold spaces.
fn stat(process: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(ToOwned::to_owned).collect())
}

fn number(fields: &[String], index: usize) -> u64 {
    let field = fields.get(index).and_then(|field| field.parse().ok());
    field.expect("a number in /proc/PID/stat")
}
