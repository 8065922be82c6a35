//! Stacks that are child processes on loopback ports: hosts without Docker, the demo, tests.
//!
//! Children end with usher. Should usher be killed, the next start ends what is left of them: every
//! child is on record with its process id and its start time, which together mean one process.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::{self, BoxStream, StreamExt};
use rustix::process::Pid;
use tokio::process::Command;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use tracing::warn;

mod child;
mod record;

use self::child::{Output, accompany, end, ticks_per_second, use_of_group, wall};
use self::record::{ORPHAN_GRACE, Recorded, boot_id, end_orphans, start_ticks, write_record};
use super::meter::Usage;
use super::output::Ring;
use super::{
    Action, Engine, EngineError, LOOKED_AT_FOR, Line, Printer, Runner, Span, StopWhen, Stream,
};
use crate::drain::DrainProof;
use crate::inventory::{Inventory, Origin, Phase, Reach, Unit};
use crate::names::{ReplicaId, ServiceName, StackName};

/// The output of so many children of a service that ended is kept, because it says why.
const ENDED_KEPT: usize = 2;

/// The engine whose replicas are child processes.
#[derive(Debug)]
pub struct Processes {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    record: PathBuf,
    children: Mutex<BTreeMap<Slot, Vec<Replica>>>,
    /// Of those that live and the last few that ended, the oldest first.
    outputs: Mutex<Vec<Kept>>,
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

/// What one child printed.
#[derive(Debug)]
struct Kept {
    stack: StackName,
    printer: Printer,
    ring: Arc<Ring>,
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
                outputs: Mutex::default(),
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
        let id = ReplicaId::new(&group.as_raw_nonzero().to_string(), started);
        siblings.push(Replica {
            unit: Unit {
                id: id.clone(),
                name: name.clone(),
                image: program.clone(),
                make: String::new(),
                phase: Phase::Running,
                dismissed: false,
                since: wall(),
                reach: Reach::Loopback(port),
                networks: Vec::new(),
                ports: vec![port],
                mounts: Vec::new(),
                health: None,
                origin: Origin::Added { number },
                task: None,
                claims: Arc::default(),
            },
            number,
            port,
            group,
            exit,
        });
        let recorded = self.shared.write(&children);
        drop(children);
        let ring = self.shared.keep(stack, service, &name, &id);
        let output = [
            child
                .stdout
                .take()
                .map(|pipe| Output::new(pipe, Stream::Stdout, &name, &ring)),
            child
                .stderr
                .take()
                .map(|pipe| Output::new(pipe, Stream::Stderr, &name, &ring)),
        ];
        let shared = Arc::clone(&self.shared);
        #[expect(
            clippy::disallowed_methods,
            reason = "the child is its owner: the task ends when the child does"
        )]
        tokio::spawn(async move {
            let code = accompany(child, output).await;
            ring.end();
            exited.send_replace(Some(code));
            shared.changed.notify_one();
        });
        self.shared.changed.notify_one();
        recorded.map_err(failed)
    }

    async fn stop(
        &self,
        proof: &DrainProof,
        when: StopWhen,
        grace: Duration,
    ) -> Result<(), EngineError> {
        let replica = proof.replica();
        let found = self
            .shared
            .lock()
            .values()
            .flatten()
            .find(|child| child.unit.id == *replica)
            .map(|child| (child.group, child.exit.clone()));
        if let Some((group, exit)) = found {
            if when != StopWhen::Now && exit.borrow().is_none() {
                let before = use_of_group(group).ticks;
                sleep(LOOKED_AT_FOR).await;
                let used = use_of_group(group).ticks.saturating_sub(before);
                let used = used as f64 / ticks_per_second();
                super::idle(replica, used / LOOKED_AT_FOR.as_secs_f64())?;
            }
            end(group, exit, grace).await;
            self.forget(replica);
        }
        Ok(())
    }

    /// Takes one that has ended off the list.
    fn forget(&self, replica: &ReplicaId) {
        let mut children = self.shared.lock();
        for siblings in children.values_mut() {
            siblings.retain(|child| child.unit.id != *replica || child.exit.borrow().is_none());
        }
        if let Err(error) = self.shared.write(&children) {
            warn!(%error, "the record of child processes was not written");
        }
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Slot, Vec<Replica>>> {
        // Every change is a push or a retain; a panic in between leaves the map whole.
        self.children
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// A place for what a child prints. Those that ended long ago make room.
    fn keep(
        &self,
        stack: &StackName,
        service: &ServiceName,
        name: &str,
        id: &ReplicaId,
    ) -> Arc<Ring> {
        let ring = Arc::new(Ring::new());
        let mut outputs = self.outputs();
        let ended = |kept: &Kept| {
            kept.stack == *stack && kept.printer.service == *service && kept.ring.has_ended()
        };
        let mut surplus = outputs.iter().filter(|kept| ended(kept)).count();
        outputs.retain(|kept| {
            let goes = ended(kept) && surplus > ENDED_KEPT;
            surplus -= usize::from(goes);
            !goes
        });
        outputs.push(Kept {
            stack: stack.clone(),
            printer: Printer {
                service: service.clone(),
                name: name.to_owned(),
                id: format!("{}-{}", id.unit(), id.started()),
            },
            ring: Arc::clone(&ring),
        });
        ring
    }

    fn outputs(&self) -> MutexGuard<'_, Vec<Kept>> {
        // As for the children.
        self.outputs
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
            let stack = inventory.stacks.change(stack.clone());
            let units = stack.services.entry(service.clone()).or_default();
            units.extend(replicas.iter().map(|replica| {
                let phase = match *replica.exit.borrow() {
                    None => Phase::Running,
                    Some(code) => Phase::Exited { code },
                };
                Unit {
                    phase,
                    dismissed: false,
                    reach: Reach::Loopback(replica.port),
                    ..replica.unit.clone()
                }
            }));
        }
        Ok(inventory)
    }

    async fn act(&self, action: &Action) -> Result<(), EngineError> {
        match action {
            Action::Claim { .. }
            | Action::Join { .. }
            | Action::Leave { .. }
            | Action::Release { .. }
            | Action::Weigh { .. } => Ok(()),
            Action::Remove { replica, .. } => {
                self.forget(replica);
                Ok(())
            }
            Action::Start {
                stack,
                service,
                command,
            }
            | Action::Wake {
                stack,
                service,
                command,
            } => self.start(stack, service, command),
            Action::Stop {
                proof, when, grace, ..
            } => self.stop(proof, *when, *grace).await,
        }
    }

    async fn printers(&self, stack: &StackName) -> Result<Vec<Printer>, EngineError> {
        let outputs = self.shared.outputs();
        let of_stack = outputs.iter().filter(|kept| kept.stack == *stack);
        let mut printers: Vec<_> = of_stack.map(|kept| kept.printer.clone()).collect();
        printers.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(printers)
    }

    async fn output(
        &self,
        printer: &str,
        span: Span,
    ) -> Result<BoxStream<'static, Line>, EngineError> {
        let outputs = self.shared.outputs();
        let kept = outputs.iter().find(|kept| kept.printer.id == printer);
        let ring = kept.map(|kept| Arc::clone(&kept.ring));
        Ok(ring.map_or_else(|| stream::empty().boxed(), |ring| ring.read(span)))
    }

    async fn running(&self) -> Result<Vec<Runner>, EngineError> {
        let children = self.shared.lock();
        let alive = children.values().flatten();
        let alive = alive.filter(|replica| replica.exit.borrow().is_none());
        let runners = alive.map(|replica| Runner {
            unit: replica.unit.id.unit().to_owned(),
            handle: replica.unit.id.unit().to_owned(),
        });
        Ok(runners.collect())
    }

    async fn usage(&self, handle: &str) -> Result<Option<Usage>, EngineError> {
        let group = {
            let children = self.shared.lock();
            let mut all = children.values().flatten();
            let child = all.find(|child| child.unit.id.unit() == handle);
            child.map(|child| child.group)
        };
        Ok(group.map(|group| {
            let used = use_of_group(group);
            let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
            Usage {
                memory: Some(used.pages * page),
                processor: Some(Duration::from_secs_f64(
                    used.ticks as f64 / ticks_per_second(),
                )),
                reserved: None,
            }
        }))
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

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}

#[cfg(test)]
mod tests;
