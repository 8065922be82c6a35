//! From a plan to the table in force, and from the table to a report.
//!
//! The only publisher. One table is swapped for the next as a whole; only then are endpoints
//! closed, so that whoever is refused finds the newer table at once.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tracing::debug;

use super::table::{InstanceTable, Table};
use crate::names::{InstanceName, ReplicaId};
use crate::plan::{EdgeReport, Plan, Report, Usage};
use crate::shutdown::Shutdown;

/// A report at least this often.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// However many come to whoever is asleep, reports because of them are this far apart.
const REPORTS_APART: Duration = Duration::from_millis(100);

/// What has to be told when a table comes into force.
pub trait Farewell: Send + Sync {
    /// End the sessions of a replica but for so many, spread over this time. Telling twice changes
    /// nothing.
    fn cut(&self, replica: &ReplicaId, keep: u32, over: Duration);

    /// End the sessions of an instance that is served no more.
    fn gone(&self, instance: &InstanceName);
}

/// The table in force, shared by everyone who routes.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    table: Arc<ArcSwap<Table>>,
    /// Somebody has come to an instance that is asleep.
    woken: Arc<Notify>,
}

impl Routes {
    /// The table of this moment. Held for one decision, never for a session.
    pub fn load(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Somebody has come to an instance that is asleep: the next report goes out at once.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Puts a plan into force.
    pub fn apply(&self, plan: &Plan, farewell: &dyn Farewell) {
        let old = self.table.load_full();
        let new = Arc::new(Table::build(plan, &old));
        self.table.store(Arc::clone(&new));
        let now = now();
        for found in old.instances.differences(&new.instances) {
            match found.now {
                Some(instance) => put_in_force(instance, farewell, now),
                None => farewell.gone(found.name),
            }
        }
        debug!(generation = %plan.generation, "table in force");
    }

    /// Connections of an instance on average over those that have any, and all requests that are in
    /// flight or held.
    pub fn load_of_all(&self) -> (u32, u32) {
        let table = self.table.load();
        let mut requests = 0;
        let (mut connections, mut active) = (0, 0);
        for instance in table.instances.values() {
            let counters = instance.counters();
            requests += counters.in_flight() + instance.held();
            let open = counters.connections();
            connections += open;
            active += u32::from(open > 0);
        }
        (connections.checked_div(active).unwrap_or(0), requests)
    }

    /// What is being served at this moment. Who is not counted anew is reported as before.
    pub(super) fn report(&self, edge: EdgeReport, before: &Reported, counted: Counted) -> Reported {
        let table = self.table.load_full();
        let now = now();
        let fresh = |(name, instance): (&InstanceName, &Arc<InstanceTable>)| {
            (name.clone(), Arc::new(instance.report(now)))
        };
        let mut instances = match counted {
            Counted::All => table.instances.iter().map(fresh).collect(),
            Counted::Asleep | Counted::Nobody => before.report.instances.clone(),
        };
        if counted == Counted::Asleep {
            let asleep = table.instances.iter().filter(|(_, one)| one.is_asleep());
            instances.extend(asleep.map(fresh));
        }
        if counted != Counted::All {
            for found in before.table.instances.differences(&table.instances) {
                match found.now {
                    Some(instance) => instances.extend([fresh((found.name, instance))]),
                    None => drop(instances.remove(found.name)),
                }
            }
        }
        let report = Arc::new(Report {
            applied: table.generation,
            edge,
            instances,
        });
        Reported { table, report }
    }
}

/// Opens and closes the endpoints of an instance that is new or has changed.
fn put_in_force(instance: &InstanceTable, farewell: &dyn Farewell, now: Instant) {
    for endpoint in instance.pools.values().flat_map(|pool| &pool.endpoints) {
        match endpoint.usage {
            Usage::Serve => endpoint.load().reopen(),
            Usage::Drain => endpoint.load().close(),
            Usage::Cut { keep, over } => {
                endpoint.load().cut(now, keep, over);
                farewell.cut(&endpoint.id, keep, over);
            }
        }
    }
    for leaving in &instance.plan().leaving {
        let key = (leaving.service.clone(), leaving.id.clone());
        let Some(load) = instance.loads.get(&key) else {
            continue;
        };
        load.close();
        if let Usage::Cut { keep, over } = leaving.usage {
            load.cut(now, keep, over);
            farewell.cut(&leaving.id, keep, over);
        }
    }
    instance.tell();
}

/// The last report, and the table it is of.
#[derive(Default)]
pub(super) struct Reported {
    table: Arc<Table>,
    pub(super) report: Arc<Report>,
}

/// Who is counted anew, beside those whose table is new.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Counted {
    All,
    Asleep,
    Nobody,
}

#[expect(clippy::disallowed_methods, reason = "when closing phases are over")]
fn now() -> Instant {
    Instant::now()
}

/// Applies every plan and reports after each and every second, until shutdown.
pub async fn run(
    routes: Routes,
    farewell: Arc<dyn Farewell>,
    edge: impl Fn() -> EdgeReport + Send,
    mut plans: watch::Receiver<Arc<Plan>>,
    reports: watch::Sender<Arc<Report>>,
    mut shutdown: Shutdown,
) {
    let mut tick = interval(REPORT_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported = now();
    // Until when time has passed for the table.
    let mut passed = reported;
    let mut before = Reported::default();
    loop {
        let counted = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            changed = plans.changed() => {
                if changed.is_err() {
                    return;
                }
                let plan = Arc::clone(&plans.borrow_and_update());
                routes.apply(&plan, &*farewell);
                Counted::Nobody
            }
            // A word that is lost because something else came first goes out with that.
            () = async {
                routes.woken.notified().await;
                sleep_until(reported + REPORTS_APART).await;
            } => Counted::Asleep,
            _ = tick.tick() => Counted::All,
        };
        reported = now();
        if counted == Counted::All {
            // A word that was lost costs those who wait a second, and no more.
            routes.load().pass(reported.duration_since(passed));
            passed = reported;
        }
        before = routes.report(edge(), &before, counted);
        reports.send_replace(Arc::clone(&before.report));
    }
}
