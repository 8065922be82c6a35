//! Certificates: what exists is served first, and nothing is ever started empty.
//!
//! The folder is the truth and a contract with other services; the store answers handshakes from
//! memory; orders fill the folder. A pair is on the disk before it is in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;
use tokio::task::{self, JoinSet};
use tokio::time::sleep;
use tracing::{error, info, warn};

mod acme;
pub mod challenge;
mod disk;
mod pair;
mod renew;
mod store;

pub use self::challenge::Challenges;
pub use self::disk::{make_dir, write_file};
pub use self::store::Store;

use self::acme::{AcmeError, Job};
use self::disk::{Disk, DiskError, Found};
use self::renew::{Attempts, Due, Held, due};
use self::store::Pairs;
use crate::cause::chain;
use crate::config::model::{Acme, Certs};
use crate::config::watch::Current;
use crate::fingerprint::Fingerprint;
use crate::names::{Domain, Hostname};
use crate::plan::{CertificateReport, CertificateSource, CertificateState, WantedCertificate};
use crate::shutdown::Shutdown;

/// The folder is looked at this often, for pairs that others put there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What is due is looked at this often.
const AGAIN_EVERY: Duration = Duration::from_secs(30);
/// Orders under way at once.
const PARALLEL: usize = 4;

/// How many orders ended how.
#[derive(Debug, Default)]
pub struct OrderCounters {
    issued: AtomicU64,
    failed: AtomicU64,
}

impl OrderCounters {
    /// Issued, failed.
    pub fn counts(&self) -> (u64, u64) {
        (
            self.issued.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }
}

/// Keeps the store filled.
#[derive(Debug)]
pub struct Manager {
    disk: Disk,
    store: Arc<Store>,
    challenges: Challenges,
    state_dir: PathBuf,
    counters: Arc<OrderCounters>,
    wanted: Arc<[WantedCertificate]>,
    /// What was found for each host, the last good pair where the folder holds a bad one now.
    held: BTreeMap<Hostname, Found>,
    /// Why a host has nothing to be served with, where there is a reason.
    troubles: BTreeMap<Hostname, String>,
    /// The files of the last reading, as they were then.
    seen: Fingerprint,
    attempts: BTreeMap<Vec<Hostname>, Attempts>,
    ordering: BTreeMap<task::Id, Vec<Hostname>>,
}

/// What came of an order.
type Ordered = Result<(Job, acme::Issued), String>;

impl Manager {
    pub fn new(certs: &Certs, state_dir: PathBuf) -> Self {
        Self {
            disk: Disk::new(certs.dir.clone()),
            store: Arc::new(Store::new(certs.default_for_unknown)),
            challenges: Challenges::default(),
            state_dir: state_dir.join("acme"),
            counters: Arc::default(),
            wanted: Arc::from([]),
            held: BTreeMap::new(),
            troubles: BTreeMap::new(),
            seen: Fingerprint::default(),
            attempts: BTreeMap::new(),
            ordering: BTreeMap::new(),
        }
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    pub fn counters(&self) -> &Arc<OrderCounters> {
        &self.counters
    }

    /// Why names have nothing to be served with, where there is a reason.
    pub fn troubles(&self) -> impl Iterator<Item = (&Hostname, &str)> {
        self.troubles.iter().map(|(host, why)| (host, why.as_str()))
    }

    /// Reads the folder for these names and puts what is good into the store. Blocking: a few
    /// small files per name.
    pub fn load(&mut self, wanted: Arc<[WantedCertificate]>, now: SystemTime) {
        self.wanted = Arc::clone(&wanted);
        let mut held = BTreeMap::new();
        let mut troubles = BTreeMap::new();
        let mut pairs = Pairs::default();
        let mut seen = Fingerprint::default();
        for wanted in wanted.iter() {
            for host in &wanted.names {
                let found = match &wanted.pinned {
                    Some(name) => self.disk.read(name, now, &mut seen),
                    None => self.disk.find(host, now, &mut seen),
                };
                match judge(host, found) {
                    Ok(Some(found)) => {
                        pairs.insert(Domain::Exact(host.clone()), Arc::clone(&found.pair.key));
                        held.insert(host.clone(), found);
                    }
                    missing_or_bad => {
                        let old = self.last_good(host, now);
                        let why = match (missing_or_bad, &old) {
                            (Ok(_), None) => continue,
                            (Ok(_), Some(_)) => format!(
                                "the pair of {host} is gone from the folder; the one in memory is served \
                                 until it expires or usher ends"
                            ),
                            (Err(why), _) => why,
                        };
                        if self.troubles.get(host) != Some(&why) {
                            warn!(%host, reason = %why, "certificate");
                        }
                        if let Some(old) = old {
                            pairs.insert(Domain::Exact(host.clone()), Arc::clone(&old.pair.key));
                            held.insert(host.clone(), old);
                        }
                        troubles.insert(host.clone(), why);
                    }
                }
            }
            for below in &wanted.wildcards {
                let name = wanted.pinned.as_deref().unwrap_or(below.as_str());
                if let Ok(Some(found)) = self.disk.read(name, now, &mut seen) {
                    let domain = Domain::Below(below.clone());
                    if found.pair.covers(&domain) {
                        pairs.insert(domain, Arc::clone(&found.pair.key));
                    }
                }
            }
        }
        if let Ok(Some(found)) = self.disk.read("default", now, &mut seen) {
            pairs.default = Some(found.pair.key);
        }
        self.held = held;
        self.troubles = troubles;
        self.seen = seen;
        self.store.replace(pairs);
    }

    fn last_good(&mut self, host: &Hostname, now: SystemTime) -> Option<Found> {
        let mut found = self.held.remove(host)?;
        found.on_disk = false;
        (found.pair.not_after > now).then_some(found)
    }

    /// Follows what is wanted until shutdown: looks at the folder, orders what is due, reports.
    pub async fn run(
        mut self,
        mut wanted: watch::Receiver<Arc<[WantedCertificate]>>,
        config: watch::Receiver<Current>,
        reports: watch::Sender<Arc<[CertificateReport]>>,
        mut shutdown: Shutdown,
    ) {
        let mut orders: JoinSet<Ordered> = JoinSet::new();
        loop {
            let now = wall();
            let newest = Arc::clone(&wanted.borrow_and_update());
            self = match task::spawn_blocking(move || {
                self.load(newest, now);
                self
            })
            .await
            {
                Ok(this) => this,
                Err(error) => {
                    error!(%error, "reading certificates panicked; what is served stays");
                    return;
                }
            };
            let acme = config.borrow().config.acme.clone();
            self.order(acme.as_ref(), now, &mut orders);
            let report = self.report(acme.as_ref(), now);
            reports.send_if_modified(|known| {
                let new = **known != *report;
                *known = report;
                new
            });
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                changed = wanted.changed() => if changed.is_err() { return },
                Some(ended) = orders.join_next_with_id() => self.ordered(ended, wall()).await,
                () = changed(&self.seen) => {}
                () = sleep(AGAIN_EVERY) => {}
            }
        }
    }

    /// Begins the orders that are due, as many as may run at once.
    fn order(&mut self, acme: Option<&Acme>, now: SystemTime, orders: &mut JoinSet<Ordered>) {
        let Some(acme) = acme else {
            return;
        };
        let wanted: BTreeSet<Vec<Hostname>> = self
            .wanted
            .iter()
            .map(|wanted| orderable(wanted, acme))
            .collect();
        self.attempts.retain(|names, _| wanted.contains(names));
        for wanted in Arc::clone(&self.wanted).iter() {
            let names = orderable(wanted, acme);
            let under_way = self.ordering.values().any(|other| *other == names);
            let free = orders.len() < PARALLEL && !under_way;
            if names.is_empty() || !free || self.blocked(&names).is_some() {
                continue;
            }
            let attempts = self.attempts.get(&names);
            if due(now, self.held(&names), attempts) != Due::Now {
                continue;
            }
            let jobs: Vec<Job> = acme
                .directories
                .iter()
                .map(|directory| Job {
                    directory: directory.clone(),
                    email: wanted.email.clone().or_else(|| acme.email.clone()),
                    names: names.clone(),
                    state_dir: self.state_dir.clone(),
                    challenges: self.challenges.clone(),
                })
                .collect();
            let task = orders.spawn(order_from_any(jobs));
            self.ordering.insert(task.id(), names);
        }
    }

    /// Takes a finished order in: to the disk first, from where the next look serves it.
    async fn ordered(
        &mut self,
        ended: Result<(task::Id, Ordered), task::JoinError>,
        now: SystemTime,
    ) {
        let (id, ordered) = match ended {
            Ok(ended) => ended,
            // Like every failure it waits before the next attempt.
            Err(error) => (error.id(), Err(error.to_string())),
        };
        let Some(names) = self.ordering.remove(&id) else {
            return;
        };
        let written = match ordered {
            Ok((job, issued)) => {
                let disk = self.disk.clone();
                let write = move || {
                    disk.write(&job.names, &issued.chain, &issued.key)
                        .map_err(|error| chain(&error))?;
                    job.done();
                    Ok(())
                };
                match task::spawn_blocking(write).await {
                    Ok(written) => written,
                    Err(error) => Err(error.to_string()),
                }
            }
            Err(why) => Err(why),
        };
        match written {
            Ok(()) => {
                info!(?names, "certificate installed");
                self.counters.issued.fetch_add(1, Ordering::Relaxed);
                self.attempts.remove(&names);
            }
            Err(why) => {
                let attempts = Attempts::after(self.attempts.get(&names), now, why);
                warn!(
                    ?names,
                    error = %attempts.error,
                    next = %crate::moment::text(attempts.not_before),
                    "no certificate; what is served stays"
                );
                self.counters.failed.fetch_add(1, Ordering::Relaxed);
                self.attempts.insert(names, attempts);
            }
        }
    }

    fn held(&self, names: &[Hostname]) -> Held {
        let mut first = None;
        for name in names {
            // What only memory holds would be lost with the process.
            let Some(found) = self.held.get(name).filter(|found| found.on_disk) else {
                return Held::NotAll;
            };
            let renew_at = found.pair.renew_at();
            first = Some(first.map_or(renew_at, |first: SystemTime| first.min(renew_at)));
        }
        first.map_or(Held::NotAll, |renew_at| Held::All { renew_at })
    }

    /// Why nothing may be ordered for these names although something is due.
    fn blocked(&self, names: &[Hostname]) -> Option<String> {
        names
            .iter()
            .find(|name| self.disk.is_foreign(name))
            .map(|name| {
                format!(
                    "{name}.crt was put there by somebody else; usher serves it while it is good and \
                     orders nothing unless it is moved away"
                )
            })
    }

    fn report(&self, acme: Option<&Acme>, now: SystemTime) -> Arc<[CertificateReport]> {
        self.wanted
            .iter()
            .filter(|wanted| !wanted.names.is_empty())
            .map(|wanted| self.report_one(wanted, acme, now))
            .collect()
    }

    fn report_one(
        &self,
        wanted: &WantedCertificate,
        acme: Option<&Acme>,
        now: SystemTime,
    ) -> CertificateReport {
        let names = acme.map_or_else(Vec::new, |acme| orderable(wanted, acme));
        let attempts = self.attempts.get(&names);
        let found: Vec<&Found> = wanted
            .names
            .iter()
            .filter_map(|name| self.held.get(name))
            .collect();
        let all = found.len() == wanted.names.len();
        let not_after = found.iter().map(|found| found.pair.not_after).min();
        let managed = found.iter().all(|found| found.managed);
        let ordering = !names.is_empty() && self.blocked(&names).is_none();
        let trouble = wanted
            .names
            .iter()
            .find_map(|name| self.troubles.get(name).cloned());
        let never = || {
            if !wanted.may_order {
                Some("nothing is ordered for an instance on standby".to_owned())
            } else if acme.is_none() {
                Some("there is no pair for it and no [acme] table".to_owned())
            } else if names.is_empty() {
                Some("it is no public name, and so nothing is ordered for it".to_owned())
            } else {
                self.blocked(&names)
            }
        };
        let state = match (all, ordering) {
            (true, _) => CertificateState::Valid,
            (false, true) => CertificateState::Pending,
            (false, false) => CertificateState::Missing,
        };
        let next = match due(now, self.held(&names), attempts) {
            Due::At(at) if ordering => Some(at),
            _ => None,
        };
        CertificateReport {
            instance: wanted.instance.clone(),
            names: wanted.names.clone(),
            state,
            source: if managed && ordering {
                CertificateSource::Acme
            } else {
                CertificateSource::File
            },
            not_after,
            next_attempt: next,
            last_error: attempts
                .map(|attempts| attempts.error.clone())
                .or(trouble)
                .or_else(|| (state == CertificateState::Missing).then(never).flatten()),
        }
    }
}

/// Waits until the folder is not what it was.
async fn changed(seen: &Fingerprint) {
    loop {
        sleep(LOOK_EVERY).await;
        let before = seen.clone();
        let look = task::spawn_blocking(move || before.now() != before);
        // A panic in there says nothing about the folder.
        if look.await.unwrap_or(false) {
            return;
        }
    }
}

/// A pair is for a host only if its names say so.
fn judge(
    host: &Hostname,
    found: Result<Option<Found>, DiskError>,
) -> Result<Option<Found>, String> {
    match found {
        Ok(Some(found)) if !found.pair.covers(&Domain::Exact(host.clone())) => {
            Err(format!("the certificate found for {host} does not name it"))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(chain(&error)),
    }
}

/// The names of a certificate that an authority may be asked for.
fn orderable(wanted: &WantedCertificate, acme: &Acme) -> Vec<Hostname> {
    if wanted.pinned.is_some() || !wanted.may_order {
        return Vec::new();
    }
    let mut names: Vec<Hostname> = wanted
        .names
        .iter()
        .filter(|name| {
            if acme.preflight {
                name.is_public()
            } else {
                name.is_delegated()
            }
        })
        .cloned()
        .collect();
    names.dedup();
    names
}

/// Asks one authority after the other, as long as the one before is down.
async fn order_from_any(jobs: Vec<Job>) -> Ordered {
    let mut last = "no directory is configured".to_owned();
    for job in jobs {
        match job.issue().await {
            Ok(issued) => return Ok((job, issued)),
            Err(error) => {
                last = chain(&error);
                if !AcmeError::is_down(&error) {
                    break;
                }
                warn!(error = %last, "an ACME directory is down");
            }
        }
    }
    Err(last)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of the certificate room"
)]
fn wall() -> SystemTime {
    SystemTime::now()
}
