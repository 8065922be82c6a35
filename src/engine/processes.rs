//! Stacks that are child processes on loopback ports: hosts without Docker, the demo, tests.
//!
//! Children end with usher. Should usher be killed, the next start ends what is left of them: every
//! child is on record with its process id and its start time, which together mean one process.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tracing::{info, warn};

use super::{Action, Engine, EngineError};
use crate::inventory::{Inventory, Origin, Phase, Reach, Unit};
use crate::names::{ReplicaId, ServiceName, StackName};

/// What a replica says on one line beyond this is dropped.
const LONGEST_LINE: usize = 4096;
/// An orphan that ignores TERM is killed after this.
const ORPHAN_GRACE: Duration = Duration::from_secs(2);

/// The engine whose replicas are child processes.
#[derive(Debug)]
pub struct Processes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    record: PathBuf,
    children: Mutex<BTreeMap<Slot, Vec<Replica>>>,
    changed: Notify,
}

type Slot = (StackName, ServiceName);

#[derive(Debug)]
struct Replica {
    unit: Unit,
    number: u32,
    port: u16,
    group: Pid,
    exit: watch::Receiver<Option<i64>>,
}

/// One line of the record.
#[derive(Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Recorded {
    pid: i32,
    /// Clock ticks from boot to the start, field 22 of proc(5)'s `stat`.
    started: u64,
    /// Ticks mean something within one boot only.
    boot: String,
    name: String,
}

impl Processes {
    /// Ends what a killed usher left behind and starts with no replica.
    ///
    /// # Errors
    /// When the record in `state_dir` cannot be written.
    pub fn open(state_dir: &Path) -> io::Result<Self> {
        let record = state_dir.join("processes.json");
        end_orphans(&record);
        write_record(&record, &[])?;
        Ok(Self {
            shared: Arc::new(Shared {
                record,
                children: Mutex::default(),
                changed: Notify::new(),
            }),
        })
    }

    fn start(
        &self,
        stack: &StackName,
        service: &ServiceName,
        command: &[String],
    ) -> Result<(), EngineError> {
        let Some((program, arguments)) = command.split_first() else {
            return Err(EngineError::Unclonable {
                service: service.clone(),
                why: "it has no `command`".to_owned(),
            });
        };
        let failed = |source| EngineError::Spawn {
            program: program.clone(),
            source,
        };
        let port = free_port().map_err(failed)?;
        let mut children = self.shared.lock();
        let siblings = children
            .entry((stack.clone(), service.clone()))
            .or_default();
        siblings.retain(|replica| replica.exit.borrow().is_none());
        let number = (1..)
            .find(|number| siblings.iter().all(|sibling| sibling.number != *number))
            .unwrap_or(u32::MAX);
        let name = format!("{stack}_{service}_{number}");
        let mut child = Command::new(program)
            .args(
                arguments
                    .iter()
                    .map(|text| text.replace("{port}", &port.to_string())),
            )
            .env("PORT", port.to_string())
            // A replica is not the service that systemd hears.
            .env_remove("NOTIFY_SOCKET")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: a Ctrl-C in the terminal is for usher, which then drains.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let Some(group) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) else {
            return Err(failed(io::Error::other("it ended at once")));
        };
        let started = start_ticks(group).unwrap_or(0);
        let (exited, exit) = watch::channel(None);
        siblings.push(Replica {
            unit: Unit {
                id: ReplicaId::new(&group.as_raw_nonzero().to_string(), started),
                name: name.clone(),
                image: program.clone(),
                phase: Phase::Running,
                since: wall(),
                reach: Reach::Loopback(port),
                networks: Vec::new(),
                ports: vec![port],
                health: None,
                origin: Origin::Added { number },
            },
            number,
            port,
            group,
            exit,
        });
        let recorded = self.shared.write(&children);
        drop(children);
        let output = [
            child
                .stdout
                .take()
                .map(|pipe| Output::new(pipe, "stdout", &name)),
            child
                .stderr
                .take()
                .map(|pipe| Output::new(pipe, "stderr", &name)),
        ];
        let shared = Arc::clone(&self.shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "the child is its owner: the task ends when the child does"
        )]
        tokio::spawn(async move {
            let code = accompany(child, output).await;
            exited.send_replace(Some(code));
            shared.changed.notify_one();
        });
        self.shared.changed.notify_one();
        recorded.map_err(failed)
    }

    async fn stop(&self, replica: &ReplicaId, grace: Duration) -> Result<(), EngineError> {
        let found = self
            .shared
            .lock()
            .values()
            .flatten()
            .find(|child| child.unit.id == *replica)
            .map(|child| (child.group, child.exit.clone()));
        if let Some((group, exit)) = found {
            end(group, exit, grace).await;
            let mut children = self.shared.lock();
            for siblings in children.values_mut() {
                siblings.retain(|child| child.unit.id != *replica);
            }
            if let Err(error) = self.shared.write(&children) {
                warn!(%error, "the record of child processes was not written");
            }
            self.shared.changed.notify_one();
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Slot, Vec<Replica>>> {
        // Every change is a push or a retain; a panic in between leaves the map whole.
        self.children
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn write(&self, children: &BTreeMap<Slot, Vec<Replica>>) -> io::Result<()> {
        let boot = boot_id();
        let alive = children
            .values()
            .flatten()
            .filter(|replica| replica.exit.borrow().is_none())
            .map(|replica| Recorded {
                pid: replica.group.as_raw_nonzero().get(),
                started: replica.unit.id.started(),
                boot: boot.clone(),
                name: replica.unit.name.clone(),
            });
        write_record(&self.record, &alive.collect::<Vec<_>>())
    }
}

#[async_trait]
impl Engine for Processes {
    fn kind(&self) -> &'static str {
        "processes"
    }

    async fn subscribe(&self) -> Result<BoxStream<'static, ()>, EngineError> {
        let shared = Arc::clone(&self.shared);
        Ok(stream::unfold(shared, |shared| async move {
            shared.changed.notified().await;
            Some(((), shared))
        })
        .boxed())
    }

    async fn list(&self) -> Result<Inventory, EngineError> {
        let mut inventory = Inventory::default();
        for ((stack, service), replicas) in self.shared.lock().iter() {
            let stack = inventory.stacks.entry(stack.clone()).or_default();
            let units = stack.services.entry(service.clone()).or_default();
            units.extend(replicas.iter().map(|replica| {
                let phase = match *replica.exit.borrow() {
                    None => Phase::Running,
                    Some(code) => Phase::Exited { code },
                };
                Unit {
                    phase,
                    reach: Reach::Loopback(replica.port),
                    ..replica.unit.clone()
                }
            }));
        }
        Ok(inventory)
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        match action {
            Action::Join { .. } | Action::Leave { .. } => Ok(()),
            Action::Start {
                stack,
                service,
                command,
            } => self.start(stack, service, command),
            Action::Stop { replica, grace, .. } => self.stop(replica, *grace).await,
        }
    }

    async fn close(&self) {
        let all: Vec<_> = self
            .shared
            .lock()
            .values()
            .flatten()
            .map(|replica| end(replica.group, replica.exit.clone(), ORPHAN_GRACE))
            .collect();
        futures_util::future::join_all(all).await;
        if let Err(error) = write_record(&self.shared.record, &[]) {
            warn!(%error, "the record of child processes was not emptied");
        }
    }
}

/// TERM to the whole group, KILL to what is left of it after `grace`.
async fn end(group: Pid, mut exit: watch::Receiver<Option<i64>>, grace: Duration) {
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
struct Output {
    pipe: Box<dyn AsyncRead + Send + Unpin>,
    stream: &'static str,
    replica: String,
}

impl Output {
    fn new(
        pipe: impl AsyncRead + Send + Unpin + 'static,
        stream: &'static str,
        replica: &str,
    ) -> Self {
        Self {
            pipe: Box::new(pipe),
            stream,
            replica: replica.to_owned(),
        }
    }

    /// Passes every line on to the log. A line is cut, never the replica held up.
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
                info!(replica = %self.replica, stream = self.stream, line, "output");
            }
        }
    }
}

/// Waits for the end of a child and passes its output on. Returns its exit code, 128 + signal where
/// a signal ended it.
async fn accompany(mut child: Child, output: [Option<Output>; 2]) -> i64 {
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

#[expect(clippy::disallowed_methods, reason = "when a process was started")]
fn wall() -> SystemTime {
    SystemTime::now()
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

fn start_ticks(pid: Pid) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

fn write_record(path: &Path, children: &[Recorded]) -> io::Result<()> {
    let fresh = path.with_extension("json.new");
    fs::write(&fresh, serde_json::to_vec(children)?)?;
    fs::rename(&fresh, path)
}

fn end_orphans(record: &Path) {
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

#[cfg(test)]
mod tests;
