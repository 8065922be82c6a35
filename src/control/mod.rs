//! The control plane: one task that decides.
//!
//! Events in, one plan out. The loop here is the only place with a clock and channels; everything
//! it decides with is in [`Controller`], which has neither.
//!
//! At the bottom is what is known: [`Controller`], its tenants, their services and replicas. Above it
//! are the stages, in the order in which `step` goes through them: `listing` takes in who there is,
//! `operator` what was wished, `scaling` decides, `host` says how much of that may start, `drain` lets
//! replicas go, `outgoing` makes the plan, the probes and the wanted certificates, and `status` tells.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{debug, error};

mod acted;
mod answers;
mod claim;
mod controller;
mod drain;
mod event;
mod facts;
mod host;
mod keeping;
mod kept;
mod lease;
mod ledger;
mod listing;
mod loops;
mod networks;
mod operator;
mod outgoing;
mod replica;
mod scaler;
mod scaling;
mod sentences;
mod service;
mod starts;
pub mod status;
mod step;
mod tenant;
mod touched;

pub use self::controller::Controller;
pub use self::event::{Command, Event, Now, Wish};
pub use self::facts::{EngineFacts, QUIET};
pub use self::host::fitting::Shortage;
pub use self::kept::Kept;
pub use self::status::Status;

use crate::config::watch::Current;
use crate::engine::act::{Acted, Failure};
use crate::engine::meter::Metered;
use crate::engine::{Action, Listing, Trouble};
use crate::host::Host;
use crate::names::InstanceName;
use crate::plan::{Certificates, Plan, Report, Wanted};
use crate::prober;
use crate::shutdown::Shutdown;

/// The doors of the control plane, all of them.
#[derive(Debug)]
pub struct Doors {
    pub config: watch::Receiver<Current>,
    pub listings: watch::Receiver<Listing>,
    pub reports: watch::Receiver<Arc<Report>>,
    pub certificates: watch::Receiver<Arc<Certificates>>,
    /// Receivers of alerts that cannot be told, and why.
    pub undelivered: watch::Receiver<Arc<BTreeMap<String, String>>>,
    pub exports: watch::Receiver<Arc<BTreeMap<InstanceName, String>>>,
    /// By the names of instances: why some of their files cannot be served.
    pub unserved: watch::Receiver<Arc<BTreeMap<String, String>>>,
    /// Why the state cannot be kept on disk, while it cannot.
    pub unkept: watch::Receiver<Option<String>>,
    pub host: watch::Receiver<Host>,
    pub outcomes: mpsc::Receiver<prober::Outcome>,
    pub acted: mpsc::Receiver<Acted>,
    pub metered: mpsc::Receiver<Metered>,
    pub commands: mpsc::Receiver<Command>,
    pub plans: watch::Sender<Arc<Plan>>,
    pub targets: watch::Sender<Arc<prober::Targets>>,
    pub wanted: watch::Sender<Arc<Wanted>>,
    pub status: watch::Sender<Arc<Status>>,
    pub actions: mpsc::Sender<Action>,
    /// What a restart should find again.
    pub kept: watch::Sender<Arc<Kept>>,
}

/// How often time alone is an event.
const TICK: Duration = Duration::from_secs(1);

/// How often what changes by itself is handed out to be kept.
const KEEP_EVERY: Duration = Duration::from_secs(60);

/// How soon it is kept that a name has another owner, and how often at most. All names are written
/// down each time; a thousand stacks that start together, or one that starts again and again, have
/// that done a few times.
const KEEP_OWNERS_WITHIN: Duration = Duration::from_secs(5);
const KEEP_OWNERS_EVERY: Duration = Duration::from_secs(20);

/// Runs until shutdown. `kept` is what an earlier process left.
pub async fn run(mut doors: Doors, engine: EngineFacts, kept: Kept, mut shutdown: Shutdown) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let current = doors.config.borrow_and_update().clone();
    let mut controller = Controller::new(current, engine, now());
    controller.remember(kept, now());
    let mut kept_at: Option<Instant> = None;
    let mut keep_again = now().at + KEEP_EVERY;
    let mut owners = controller.owners_version();
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.begun() => {
                send_if_new(&doors.kept, Arc::new(controller.kept(now())));
                return;
            }
            Some(event) = doors.next() => event,
            _ = tick.tick() => Event::Tick,
        };
        let now = now();
        let mut ordered = matches!(event, Event::Command(_));
        controller.take(now, event);
        // A burst is answered once: ten containers that start together make one plan.
        while let Some(event) = doors.ready() {
            ordered |= matches!(event, Event::Command(_));
            controller.take(now, event);
        }
        // Most probes say what was known.
        if !controller.has_news() && !ordered {
            continue;
        }
        for action in controller.settle(now) {
            debug!(%action, "ordered");
            if let Err(refused) = doors.actions.try_send(action) {
                let action = refused.into_inner();
                error!(%action, "too many engine actions wait");
                let failure = Failure {
                    text: "too many actions wait for the engine".to_owned(),
                    trouble: Trouble::Passing,
                };
                let result = Err(failure);
                controller.take(now, Event::Acted(Acted { action, result }));
            }
        }
        if let Some(plan) = controller.plan() {
            debug!(generation = %plan.generation, "plan");
            doors.plans.send_replace(plan);
        }
        if std::mem::replace(&mut owners, controller.owners_version()) != owners {
            let soon = now.at + KEEP_OWNERS_WITHIN;
            let due = kept_at.map_or(soon, |at| soon.max(at + KEEP_OWNERS_EVERY));
            keep_again = keep_again.min(due);
        }
        // What an operator asked for is kept at once.
        if ordered || now.at >= keep_again {
            kept_at = Some(now.at);
            keep_again = now.at + KEEP_EVERY;
            send_if_new(&doors.kept, Arc::new(controller.kept(now)));
        }
        send_if_other(&doors.targets, controller.targets());
        send_if_other(&doors.wanted, controller.certificates());
        doors.status.send_replace(Arc::new(controller.status(now)));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of the control plane"
)]
fn now() -> Now {
    Now {
        at: Instant::now(),
        wall: SystemTime::now(),
    }
}

/// What says the same as before is the same value.
fn send_if_other<T>(sender: &watch::Sender<Arc<T>>, value: Arc<T>) {
    sender.send_if_modified(|known| {
        let other = !Arc::ptr_eq(known, &value);
        *known = value;
        other
    });
}

fn send_if_new<T: PartialEq>(sender: &watch::Sender<Arc<T>>, value: Arc<T>) {
    sender.send_if_modified(|known| {
        let new = !Arc::ptr_eq(known, &value) && *known != value;
        if new {
            *known = value;
        }
        new
    });
}

impl Doors {
    /// The next event from any door. Cancel safe.
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            Ok(()) = self.config.changed() => Some(self.config_event()),
            Ok(()) = self.listings.changed() => Some(self.listing_event()),
            Ok(()) = self.reports.changed() => Some(self.report_event()),
            Ok(()) = self.certificates.changed() => Some(self.certificates_event()),
            Ok(()) = self.exports.changed() => Some(self.exports_event()),
            Ok(()) = self.unserved.changed() => Some(self.unserved_event()),
            Ok(()) = self.undelivered.changed() => Some(self.undelivered_event()),
            Ok(()) = self.unkept.changed() => Some(self.unkept_event()),
            Ok(()) = self.host.changed() => Some(self.host_event()),
            Some(outcome) = self.outcomes.recv() => Some(Event::Probe(outcome)),
            Some(acted) = self.acted.recv() => Some(Event::Acted(acted)),
            Some(metered) = self.metered.recv() => Some(Event::Metered(metered)),
            Some(command) = self.commands.recv() => Some(Event::Command(command)),
            else => None,
        }
    }

    /// An event that is there already, if any.
    fn ready(&mut self) -> Option<Event> {
        let changed = |result: Result<bool, _>| result.unwrap_or(false);
        if changed(self.config.has_changed()) {
            return Some(self.config_event());
        }
        if changed(self.listings.has_changed()) {
            return Some(self.listing_event());
        }
        if changed(self.reports.has_changed()) {
            return Some(self.report_event());
        }
        if changed(self.certificates.has_changed()) {
            return Some(self.certificates_event());
        }
        if changed(self.exports.has_changed()) {
            return Some(self.exports_event());
        }
        if changed(self.unserved.has_changed()) {
            return Some(self.unserved_event());
        }
        if changed(self.undelivered.has_changed()) {
            return Some(self.undelivered_event());
        }
        if changed(self.unkept.has_changed()) {
            return Some(self.unkept_event());
        }
        if changed(self.host.has_changed()) {
            return Some(self.host_event());
        }
        if let Ok(outcome) = self.outcomes.try_recv() {
            return Some(Event::Probe(outcome));
        }
        if let Ok(acted) = self.acted.try_recv() {
            return Some(Event::Acted(acted));
        }
        if let Ok(metered) = self.metered.try_recv() {
            return Some(Event::Metered(metered));
        }
        self.commands.try_recv().ok().map(Event::Command)
    }

    fn config_event(&mut self) -> Event {
        Event::Config(self.config.borrow_and_update().clone())
    }

    fn listing_event(&mut self) -> Event {
        Event::Listing(self.listings.borrow_and_update().clone())
    }

    fn report_event(&mut self) -> Event {
        Event::Report(Arc::clone(&self.reports.borrow_and_update()))
    }

    fn host_event(&mut self) -> Event {
        Event::Host(self.host.borrow_and_update().clone())
    }

    fn unkept_event(&mut self) -> Event {
        Event::State(self.unkept.borrow_and_update().clone())
    }

    fn undelivered_event(&mut self) -> Event {
        Event::Alerts(Arc::clone(&self.undelivered.borrow_and_update()))
    }

    fn exports_event(&mut self) -> Event {
        Event::Exports(Arc::clone(&self.exports.borrow_and_update()))
    }

    fn unserved_event(&mut self) -> Event {
        Event::Files(Arc::clone(&self.unserved.borrow_and_update()))
    }

    fn certificates_event(&mut self) -> Event {
        Event::Certificates(Arc::clone(&self.certificates.borrow_and_update()))
    }
}
