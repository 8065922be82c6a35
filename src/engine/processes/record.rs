//! The record of child processes: what the next usher has to end if this one is killed.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

/// An orphan that ignores TERM is killed after this.
pub(super) const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// One line of the record.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Recorded {
    pub(super) pid: i32,
    /// Clock ticks from boot to the start, field 22 of proc(5)'s `stat`.
    pub(super) started: u64,
    /// Ticks mean something within one boot only.
    pub(super) boot: String,
    pub(super) name: String,
}

/// When a process was started, which tells it from a later one with its id.
pub(super) fn start_ticks(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

pub(super) fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

pub(super) fn write_record(path: &Path, children: &[Recorded]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, serde_json::to_vec(children)?)?;
    fs::rename(&fresh, path)
}

pub(super) fn end_orphans(record: &Path) {
    let Ok(text) = fs::read(record) else {
        return;
    };
    let recorded: Vec<Recorded> = match serde_json::from_slice(&text) {
        Ok(recorded) => recorded,
        Err(error) => {
            warn!(file = %record.display(), %error, "no orphans ended: the record cannot be read");
            return;
        }
    };
    let boot = boot_id();
    let orphans: Vec<(Pid, Recorded)> = recorded
        .into_iter()
        .filter(|old| old.boot == boot)
        .filter_map(|old| Some((Pid::from_raw(old.pid)?, old)))
        .filter(|(pid, old)| start_ticks(*pid) == Some(old.started))
        .collect();
    for (pid, old) in &orphans {
        info!(replica = %old.name, pid = old.pid, "ending a replica that an earlier usher left");
        let _ = kill_process_group(*pid, Signal::TERM);
    }
    let step = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    let alive = |(pid, _): &&(Pid, Recorded)| test_kill_process_group(*pid).is_ok();
    while waited < ORPHAN_GRACE && orphans.iter().any(|orphan| alive(&orphan)) {
        std::thread::sleep(step);
        waited += step;
    }
    for (pid, _) in orphans.iter().filter(alive) {
        let _ = kill_process_group(*pid, Signal::KILL);
    }
}
