//! One task of a service more, or one less: only the number changes, in the JSON as it was told.
//!
//! Swarm compares the whole template of a service with that of its tasks, and starts every one of
//! them anew where anything in it differs. So the specification goes back as it came, with the
//! version that it came with; whoever changed it in between is not overruled.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tracing::{error, info};

use super::super::clone::AUTOSCALE;
use super::super::docker::Engine;
use super::super::{EngineError, StopWhen, siblings};
use super::tasks::{id, privilege};
use super::turns::{Slot, turns};
use super::wire::{Service, Task};
use super::{Swarm, tell};
use crate::drain::DrainProof;
use crate::names::{ServiceName, StackName};

/// How often a service that changes at the same moment is read anew.
const TRIES: u32 = 5;
/// How long a task may take to run before its start counts as failed. It stays ordered: Swarm goes
/// on trying, and one that comes later is listed like any other.
const RUNS_WITHIN: Duration = Duration::from_secs(60);
/// How long Swarm may take to choose the task that ends.
const CHOSEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Why nothing came of [`TRIES`].
const CHANGES: &str = "somebody else keeps changing the service";

/// A service as it was told, and as it is read.
struct Told {
    raw: Value,
    service: Service,
    replicas: u64,
}

/// The specification with this number and no other change.
fn with_replicas(told: &Value, replicas: u64) -> Option<Value> {
    let mut spec = told.get("Spec")?.clone();
    let number = spec
        .get_mut("Mode")?
        .get_mut("Replicated")?
        .get_mut("Replicas")?;
    *number = json!(replicas);
    Some(spec)
}

impl Swarm {
    /// Orders one more and waits until it runs.
    pub(in crate::engine) async fn start(
        &self,
        engine: &Engine,
        stack: &StackName,
        name: &ServiceName,
    ) -> Result<(), EngineError> {
        let Some(service) = self.service_id(stack, name) else {
            return Err(refused(
                name,
                "add a replica of",
                "the stack has it no more",
            ));
        };
        let before = {
            let _one_at_a_time = self.queue(&service).await;
            self.order_one(engine, &service, name).await?
        };
        let until = deadline(RUNS_WITHIN);
        loop {
            sleep(LOOK_EVERY).await;
            let tasks = tasks(engine, &service).await?;
            if running(&tasks).difference(&before).next().is_some() {
                return Ok(());
            }
            if now() >= until {
                return Err(refused(name, "add a replica of", &not_running(&tasks)));
            }
        }
    }

    /// Returns those that run already. One that was ordered before and has not come is waited for,
    /// not doubled.
    async fn order_one(
        &self,
        engine: &Engine,
        service: &str,
        name: &ServiceName,
    ) -> Result<BTreeSet<String>, EngineError> {
        for _ in 0..TRIES {
            let told = self.told(engine, service, name).await?;
            self.may_grow(&told, name)?;
            let running = running(&tasks(engine, service).await?);
            let ordered = usize::try_from(told.replicas).unwrap_or(usize::MAX);
            if ordered > running.len() || self.set(engine, &told, name, told.replicas + 1).await? {
                return Ok(running);
            }
        }
        Err(refused(name, "add a replica of", CHANGES))
    }

    /// Makes the service smaller by one when whatever Swarm may end for that is drained, and looks
    /// whether it was the one that was meant.
    pub(in crate::engine) async fn stop(
        &self,
        engine: &Engine,
        proof: &DrainProof,
        others: &[DrainProof],
        when: StopWhen,
        (stack, name): (&StackName, &ServiceName),
    ) -> Result<(), EngineError> {
        let Some(service) = self.service_id(stack, name) else {
            return Ok(());
        };
        let _one_at_a_time = self.queue(&service).await;
        let drained: BTreeSet<&str> = [proof]
            .into_iter()
            .chain(others)
            .map(|proof| proof.replica().unit())
            .collect();
        for _ in 0..TRIES {
            let told = self.told(engine, &service, name).await?;
            let full_name = &told.service.spec.name;
            let before = tasks(engine, &service).await?;
            let mut wanted = before.iter().filter(|task| task.is_wanted());
            if !wanted.any(|task| id(task) == *proof.replica()) {
                return Ok(());
            }
            let order = turns(&before);
            let slots = u64::try_from(order.iter().flatten().count()).unwrap_or(u64::MAX);
            if told.replicas < slots {
                let why = "Swarm is about to end another one";
                return Err(refused(name, "end a replica of", why));
            }
            if let Some(state) = told.service.update() {
                return Err(refused(name, "end a replica of", &updating(state)));
            }
            let ends_one = told.replicas == slots;
            if ends_one {
                let next = order.first().map(Vec::as_slice).unwrap_or_default();
                may_end(next, &drained, full_name)?;
                if when != StopWhen::Now {
                    self.idle(engine, next, name, when).await?;
                }
            }
            if !self.set(engine, &told, name, told.replicas - 1).await? {
                continue;
            }
            // An order that Swarm had not followed yet is taken back.
            let gone = match ends_one {
                true => self.chosen(engine, &service, &before).await?,
                false => None,
            };
            let Some(gone) = gone else {
                let ended = format!("none of {name} that ran");
                return Err(EngineError::Instead { ended });
            };
            if id(gone) == *proof.replica() {
                return Ok(());
            }
            let ended = gone.name(full_name, &gone.node_id);
            if gone.is_running() && !drained.contains(gone.id.as_str()) {
                self.wrong_task();
                error!(%stack, service = %name, task = %ended, meant = %proof.replica(),
                    "Swarm ended a task that was not drained");
            }
            return Err(EngineError::Instead { ended });
        }
        Err(refused(name, "end a replica of", CHANGES))
    }

    /// The service as it is now. Whoever set another number since it was last listed is heard
    /// first: the next listing tells it.
    async fn told(
        &self,
        engine: &Engine,
        service: &str,
        name: &ServiceName,
    ) -> Result<Told, EngineError> {
        let raw = engine.raw_get(&format!("/services/{service}")).await?;
        let service: Service = tell(&raw)?;
        let Some(replicas) = service.replicas() else {
            return Err(EngineError::Unclonable {
                service: name.clone(),
                why: "it runs in global mode, one on every node".to_owned(),
            });
        };
        if !self.counts().is_as_known(&service) {
            let why = format!("somebody else has just set {replicas}");
            return Err(refused(name, "change the replicas of", &why));
        }
        Ok(Told {
            raw,
            service,
            replicas,
        })
    }

    fn may_grow(&self, told: &Told, name: &ServiceName) -> Result<(), EngineError> {
        let never = |why: String| {
            Err(EngineError::Unclonable {
                service: name.clone(),
                why,
            })
        };
        if matches!(told.service.label(AUTOSCALE), Some("off" | "false")) {
            return never(format!("its label `{AUTOSCALE}` says so"));
        }
        if let Some(power) = privilege(&told.service.spec.task_template) {
            return never(format!("it has {power}, which is not given out by itself"));
        }
        match told.service.update() {
            Some(state) => Err(refused(name, "add a replica of", &updating(state))),
            None => Ok(()),
        }
    }

    /// Sends the number back. `false`: the service was changed at the same moment and has to be
    /// read anew.
    async fn set(
        &self,
        engine: &Engine,
        told: &Told,
        name: &ServiceName,
        replicas: u64,
    ) -> Result<bool, EngineError> {
        let Some(spec) = with_replicas(&told.raw, replicas) else {
            let why = "its specification has no number of replicas";
            return Err(refused(name, "change the replicas of", why));
        };
        let service = &told.service;
        let version = service.version.index;
        let path = format!("/services/{}/update?version={version}", service.id);
        self.counts().ask(service, replicas);
        match engine.raw_post(&path, &spec).await {
            Ok(_) => {
                self.counts().granted(service, replicas);
                let name = &service.spec.name;
                info!(service = %name, from = told.replicas, to = replicas, "replicas set");
                Ok(true)
            }
            Err(EngineError::Refused { why, .. }) if why.contains("out of sequence") => {
                self.counts().denied(service);
                sleep(Duration::from_millis(rand::random_range(20..200))).await;
                Ok(false)
            }
            Err(error) => {
                // Without an answer it may have been done.
                let answered = matches!(
                    error,
                    EngineError::Refused {
                        status: Some(_),
                        ..
                    }
                );
                if answered {
                    self.counts().denied(service);
                }
                Err(error)
            }
        }
    }

    /// The task that Swarm does not want any more, of those that were wanted before.
    async fn chosen<'a>(
        &self,
        engine: &Engine,
        service: &str,
        before: &'a [Task],
    ) -> Result<Option<&'a Task>, EngineError> {
        let wanted = |tasks: &[Task]| -> BTreeSet<u64> {
            let wanted = tasks.iter().filter(|task| task.is_wanted());
            wanted.map(|task| task.slot).collect()
        };
        let slots = wanted(before);
        let until = deadline(CHOSEN_WITHIN);
        loop {
            let after = wanted(&tasks(engine, service).await?);
            if let Some(slot) = slots.difference(&after).next() {
                let mut tasks = before.iter().filter(|task| task.is_wanted());
                return Ok(tasks.find(|task| task.slot == *slot));
            }
            if now() >= until {
                return Ok(None);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// # Errors
    /// One that may end has something to do, or it cannot be seen from here.
    async fn idle(
        &self,
        engine: &Engine,
        next: &[Slot<'_>],
        name: &ServiceName,
        when: StopWhen,
    ) -> Result<(), EngineError> {
        let local = self.local();
        for task in next.iter().flat_map(|slot| &slot.tasks) {
            if !task.is_running() {
                continue;
            }
            let status = task.status.container_status.as_ref();
            let container = status.and_then(|status| status.container_id.as_deref());
            match container.filter(|_| task.node_id == local) {
                Some(container) => siblings::idle(engine, &id(task), container).await?,
                None if when == StopWhen::IdleOrUnseen => {}
                None => {
                    let why = "it is on another node, where usher cannot see whether it is at work";
                    return Err(refused(name, "end a replica of", why));
                }
            }
        }
        Ok(())
    }
}

/// # Errors
/// One of them is in use.
fn may_end(next: &[Slot<'_>], drained: &BTreeSet<&str>, service: &str) -> Result<(), EngineError> {
    let mut tasks = next.iter().flat_map(|slot| &slot.tasks);
    match tasks.find(|task| task.is_running() && !drained.contains(task.id.as_str())) {
        Some(task) => Err(EngineError::NotItsTurn {
            next: task.name(service, &task.node_id),
        }),
        None => Ok(()),
    }
}

async fn tasks(engine: &Engine, service: &str) -> Result<Vec<Task>, EngineError> {
    // `{"service":["…"]}`, as a query has to be written.
    let path = format!("/tasks?filters=%7B%22service%22%3A%5B%22{service}%22%5D%7D");
    tell(&engine.raw_get(&path).await?)
}

fn running(tasks: &[Task]) -> BTreeSet<String> {
    tasks
        .iter()
        .filter(|task| task.is_wanted() && task.is_running())
        .map(|task| task.id.clone())
        .collect()
}

/// Why none came, in the words of Swarm where it has some.
fn not_running(tasks: &[Task]) -> String {
    let coming = tasks
        .iter()
        .filter(|task| task.is_wanted() && !task.is_running())
        .max_by(|one, other| one.created_at.cmp(&other.created_at));
    match coming {
        None => "Swarm has made no task for it".to_owned(),
        Some(task) => {
            let failed = tasks
                .iter()
                .filter(|other| other.slot == task.slot)
                .filter_map(|other| other.status.err.as_deref())
                .find(|err| !err.is_empty());
            let why = failed.unwrap_or("Swarm gives no reason");
            format!(
                "its task is {} after {} s: {why}",
                task.status.state,
                RUNS_WITHIN.as_secs()
            )
        }
    }
}

fn updating(state: &str) -> String {
    format!(
        "an update of it is {state}; to change the number now would go on with it or forget what \
         to roll back to"
    )
}

fn refused(name: &ServiceName, what: &str, why: &str) -> EngineError {
    EngineError::Refused {
        what: format!("{what} {name}"),
        why: why.to_owned(),
        status: None,
    }
}

#[expect(clippy::disallowed_methods, reason = "how long Swarm may take")]
fn now() -> Instant {
    Instant::now()
}

fn deadline(span: Duration) -> Instant {
    now() + span
}

#[cfg(test)]
mod tests {
    use super::super::wire::TaskStatus;
    use super::*;

    #[test]
    fn only_the_number_changes_and_what_is_unknown_survives() {
        let told = json!({
            "ID": "s1",
            "Version": { "Index": 7 },
            "Spec": {
                "Name": "congress_web",
                "Mode": { "Replicated": { "Replicas": 2, "New": [1, 2] } },
                "TaskTemplate": { "ContainerSpec": { "Image": "app:1", "Later": { "a": null } } },
                "Unheard": "of",
            },
        });
        let spec = with_replicas(&told, 3).expect("replicated");
        let mut expected = told["Spec"].clone();
        expected["Mode"]["Replicated"]["Replicas"] = json!(3);
        assert_eq!(spec, expected);
        let global = json!({ "Spec": { "Mode": { "Global": {} } } });
        assert_eq!(with_replicas(&global, 3), None);
    }

    fn task(slot: u64, node: &str, state: &str) -> Task {
        Task {
            id: format!("t{slot}"),
            slot,
            node_id: node.to_owned(),
            desired_state: "running".to_owned(),
            status: TaskStatus {
                state: state.to_owned(),
                ..TaskStatus::default()
            },
            ..Task::default()
        }
    }

    #[test]
    fn nobody_is_ended_while_an_equal_one_is_in_use() {
        let tasks = [task(1, "a", "running"), task(2, "b", "running")];
        let order = turns(&tasks);
        let end = |drained: &[&str]| {
            let drained = drained.iter().copied().collect();
            may_end(&order[0], &drained, "congress_web").map_err(|error| error.to_string())
        };
        assert_eq!(end(&["t1", "t2"]), Ok(()));
        let refused = end(&["t2"]).expect_err("t1 is in use");
        assert!(refused.contains("congress_web.1"), "{refused}");
    }

    #[test]
    fn what_never_ran_is_in_nobodys_use() {
        let tasks = [task(1, "a", "running"), task(2, "a", "preparing")];
        let order = turns(&tasks);
        assert!(may_end(&order[0], &BTreeSet::new(), "congress_web").is_ok());
    }

    #[test]
    fn a_task_that_does_not_come_tells_why() {
        let mut coming = task(3, "", "pending");
        coming.status.err = Some("no suitable node (insufficient resources on 1 node)".to_owned());
        let why = not_running(&[task(1, "a", "running"), coming]);
        assert!(
            why.contains("pending") && why.contains("insufficient"),
            "{why}"
        );
    }
}
