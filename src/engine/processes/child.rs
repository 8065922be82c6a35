//! One child process while it lives: its output, its work, its end.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::Child;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::info;

use crate::engine::output::{Line, Ring, Stream};

/// What a replica says on one line beyond this is dropped.
const LONGEST_LINE: usize = 4096;

/// TERM to the whole group, KILL to what is left of it after `grace`.
pub(super) async fn end(group: Pid, mut exit: watch::Receiver<Option<i64>>, grace: Duration) {
    if exit.borrow().is_some() {
        return;
    }
    // An error means that it has just ended by itself.
    let _ = kill_process_group(group, Signal::TERM);
    if timeout(grace, exit.wait_for(Option::is_some))
        .await
        .is_err()
    {
        let _ = kill_process_group(group, Signal::KILL);
        let _ = exit.wait_for(Option::is_some).await;
    }
}

/// One of the two pipes of a child.
pub(super) struct Output {
    pipe: Box<dyn AsyncRead + Send + Unpin>,
    stream: Stream,
    replica: String,
    ring: Arc<Ring>,
}

impl Output {
    pub(super) fn new(
        pipe: impl AsyncRead + Send + Unpin + 'static,
        stream: Stream,
        replica: &str,
        ring: &Arc<Ring>,
    ) -> Self {
        Self {
            pipe: Box::new(pipe),
            stream,
            replica: replica.to_owned(),
            ring: Arc::clone(ring),
        }
    }

    /// Keeps every line and passes it on to the log. A line is cut, never the replica held up.
    async fn log(self) {
        let mut lines = BufReader::new(self.pipe);
        let mut line = Vec::new();
        loop {
            let Ok(available) = lines.fill_buf().await else {
                return;
            };
            if available.is_empty() {
                return;
            }
            let end = available.iter().position(|b| *b == b'\n');
            let taken = end.map_or(available.len(), |end| end + 1);
            let text = available.get(..end.unwrap_or(taken)).unwrap_or_default();
            let room = LONGEST_LINE.saturating_sub(line.len());
            line.extend_from_slice(text.get(..room.min(text.len())).unwrap_or_default());
            lines.consume(taken);
            if end.is_some() {
                let line = String::from_utf8_lossy(&std::mem::take(&mut line)).into_owned();
                info!(replica = %self.replica, stream = self.stream.word(), line, "output");
                self.ring.push(Line {
                    at: wall(),
                    stream: self.stream,
                    text: line,
                });
            }
        }
    }
}

/// Waits for the end of a child and passes its output on. Returns its exit code, 128 + signal where
/// a signal ended it.
pub(super) async fn accompany(mut child: Child, output: [Option<Output>; 2]) -> i64 {
    use std::os::unix::process::ExitStatusExt;

    let [stdout, stderr] = output.map(|output| async {
        if let Some(output) = output {
            output.log().await;
        }
    });
    let pipes = futures_util::future::join(stdout, stderr);
    let status = child.wait();
    tokio::pin!(pipes, status);
    let mut open = true;
    loop {
        tokio::select! {
            // A grandchild may hold the pipes open for ever; the child's end is what counts.
            status = &mut status => {
                return status.map_or(-1, |status| {
                    let signal = status.signal().map(|signal| 128 + i64::from(signal));
                    status.code().map(i64::from).or(signal).unwrap_or(-1)
                });
            }
            _ = &mut pipes, if open => open = false,
        }
    }
}

/// What the living processes of a group take together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GroupUse {
    /// Processor time in clock ticks.
    pub(super) ticks: u64,
    /// Memory in pages; what processes share counts for each.
    pub(super) pages: u64,
}

pub(super) fn use_of_group(group: Pid) -> GroupUse {
    let group = group.as_raw_nonzero().to_string();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| fs::read_to_string(process.path().join("stat")).ok())
        .filter_map(|stat| {
            let (_, rest) = stat.rsplit_once(')')?;
            // proc(5): after the name, field 5 is the group, 14 and 15 are user and system time, 24
            // is the memory in use.
            let fields: Vec<&str> = rest.split_whitespace().collect();
            if *fields.get(2)? != group {
                return None;
            }
            let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
            Some((number(11)? + number(12)?, number(21)?))
        })
        .fold(GroupUse::default(), |sum, (ticks, pages)| GroupUse {
            ticks: sum.ticks + ticks,
            pages: sum.pages + pages,
        })
}

pub(super) fn ticks_per_second() -> f64 {
    // A hundred, everywhere; the division has to be right all the same.
    rustix::param::clock_ticks_per_second() as f64
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a process was started or printed"
)]
pub(super) fn wall() -> SystemTime {
    SystemTime::now()
}
