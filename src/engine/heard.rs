//! What events of the engine have told: whom they are about, and who was told to stop.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::models::{EventMessage, EventMessageTypeEnum};

use super::listed_volumes::LOCAL;

/// What events have said.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<Said>);

/// Of containers by their ids.
#[derive(Debug, Default)]
struct Said {
    /// Told to stop. No listing shows that.
    leaving: HashMap<String, Told>,
    /// What is remembered of it is stale.
    touched: Touched,
}

/// How a container was told to stop.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// In nanoseconds since 1970.
    at: u64,
    /// With a signal that can be followed. A death after that is nobody's failure, and so it is known
    /// until the next life begins.
    politely: bool,
}

/// What events have spoken of since the last listing.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// By their ids.
    pub(super) containers: HashSet<String>,
    pub(super) networks: bool,
    pub(super) volumes: bool,
    /// Nodes and services of a Swarm, or what nobody knows.
    pub(super) others: bool,
}

impl Touched {
    pub(super) fn is_something(&self) -> bool {
        !self.containers.is_empty() || self.networks || self.volumes || self.others
    }
}

impl Heard {
    /// Takes one event in; whether it may have changed anything.
    pub(super) fn note(&self, event: &EventMessage) -> bool {
        let action = event.action.as_deref().unwrap_or_default();
        let actor = event.actor.as_ref();
        if event.typ != Some(EventMessageTypeEnum::CONTAINER) {
            let changed = matches!(
                action,
                "connect"
                    | "disconnect"
                    | "create"
                    | "destroy"
                    | "mount"
                    | "remove"
                    | "unmount"
                    | "update"
            ) && !is_of_the_local_driver(event, action);
            if changed {
                let touched = &mut self.lock().touched;
                let attributes = actor.and_then(|actor| actor.attributes.as_ref());
                let container = attributes.and_then(|attributes| attributes.get("container"));
                match (event.typ, action, container) {
                    (Some(EventMessageTypeEnum::NETWORK), "connect" | "disconnect", Some(id)) => {
                        touched.containers.insert(id.clone());
                    }
                    (Some(EventMessageTypeEnum::NETWORK), "create" | "destroy" | "remove", _) => {
                        touched.networks = true;
                    }
                    (Some(EventMessageTypeEnum::VOLUME), _, _) => touched.volumes = true,
                    _ => touched.others = true,
                }
            }
            return changed;
        }
        let Some(id) = actor.and_then(|actor| actor.id.clone()) else {
            return false;
        };
        let mut heard = self.lock();
        let changed = match action {
            "kill" => {
                let signal = actor
                    .and_then(|actor| actor.attributes.as_ref())
                    .and_then(|attributes| attributes.get("signal"))
                    .map_or("15", String::as_str);
                // INT, QUIT, KILL and TERM are farewells; a HUP or USR1 is not.
                let farewell = matches!(signal, "2" | "3" | "9" | "15");
                let told = event.time_nano.and_then(|time| u64::try_from(time).ok());
                let before = heard.leaving.get(&id).copied();
                if farewell {
                    let told = Told {
                        at: told.unwrap_or(u64::MAX),
                        politely: signal != "9" || before.is_some_and(|before| before.politely),
                    };
                    heard.leaving.insert(id.clone(), told);
                }
                farewell && before.is_none()
            }
            "die" => {
                if heard.leaving.get(&id).is_some_and(|told| !told.politely) {
                    heard.leaving.remove(&id);
                }
                true
            }
            "start" | "destroy" => {
                heard.leaving.remove(&id);
                true
            }
            // Executions, attachments and the like happen inside and change nothing here.
            _ => {
                matches!(
                    action,
                    "create" | "pause" | "unpause" | "rename" | "restart"
                ) || action.starts_with("health_status")
            }
        };
        if changed {
            heard.touched.containers.insert(id);
        }
        changed
    }

    /// Whether the life of a container that began at `started` was told to stop. A restart may
    /// show the next life before the end of the last one is heard of.
    pub(super) fn is_leaving(&self, container: &str, started: impl FnOnce() -> u64) -> bool {
        let told = self.lock().leaving.get(container).map(|told| told.at);
        told.is_some_and(|at| at >= started())
    }

    /// What events have spoken of since this was last asked.
    pub(super) fn take_touched(&self) -> Touched {
        std::mem::take(&mut self.lock().touched)
    }

    /// Something was changed that events may not speak of.
    pub(super) fn touch_all(&self) {
        self.lock().touched.others = true;
    }

    /// The connection is a new one: what was told before may be over.
    pub(super) fn forget(&self) {
        *self.lock() = Said::default();
    }

    fn lock(&self) -> MutexGuard<'_, Said> {
        // Sets of ids are whole after every operation, whoever panicked in between.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a mount changes nothing that is listed: the engine's own driver has said where when the
/// volume was made, and every start of a container mounts some.
fn is_of_the_local_driver(event: &EventMessage, action: &str) -> bool {
    let attributes = event.actor.as_ref().and_then(|of| of.attributes.as_ref());
    let driver = attributes.and_then(|attributes| attributes.get("driver"));
    event.typ == Some(EventMessageTypeEnum::VOLUME)
        && matches!(action, "mount" | "unmount")
        && driver.is_some_and(|driver| driver == LOCAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(action: &str, time_nano: i64) -> EventMessage {
        let told = serde_json::json!({
            "Type": "container",
            "Action": action,
            "Actor": { "ID": "c1", "Attributes": { "signal": "15" } },
            "timeNano": time_nano,
        });
        serde_json::from_value(told).expect("an event")
    }

    #[test]
    fn a_restart_is_no_farewell_of_the_life_that_follows() {
        let heard = Heard::default();
        assert!(heard.note(&event("kill", 200)));
        assert!(heard.is_leaving("c1", || 100), "the life that was told");
        assert!(
            !heard.is_leaving("c1", || 300),
            "listed before its start was heard of"
        );
        assert!(!heard.is_leaving("c2", || 100));
        assert!(heard.note(&event("die", 250)));
        assert!(
            heard.is_leaving("c1", || 100),
            "it ended because it was told"
        );
        assert!(heard.note(&event("start", 300)));
        assert!(!heard.is_leaving("c1", || 100));
        assert!(heard.note(&event("kill", 400)), "the next life");
    }
}
