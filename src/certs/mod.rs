//! Certificates: what exists is served first, and nothing is ever started empty.
//!
//! The folder is the truth and a contract with other services; the store answers handshakes from
//! memory; orders fill the folder. A pair is on the disk before it is in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, watch};
use tokio::task::{self, JoinSet};
use tokio::time::{Sleep, sleep};
use tracing::{error, warn};

pub mod challenge;
mod desk;
mod disk;
mod errand;
pub mod export;
mod holdings;
pub mod import;
mod jobs;
mod lineage;
pub mod local;
mod look;
mod orders;
mod pair;
mod preflight;
mod report;
mod schedule;
mod shelf;
mod store;
mod wish;

pub use self::challenge::Challenges;
pub(crate) use self::preflight::{Addresses, is_ours, where_names_lead};
pub use self::store::Store;
pub use self::wish::{Answer, Wish};

use self::desk::Waiting;
use self::errand::{Errand, Outcome};
use self::holdings::News;
use self::lineage::Lineage;
use self::local::LocalAuthority;
use self::orders::{Authorities, Means};
use self::preflight::Looks;
use self::schedule::Schedule;
use self::shelf::Shelf;
use crate::cause::chain;
use crate::config::model::{Acme, Certs};
use crate::config::watch::Current;
use crate::names::{Domain, Hostname, InstanceName};
use crate::plan::{Certificates, Wanted, WantedCertificate};
use crate::shutdown::Shutdown;

/// Everything is looked at this often, whatever happens.
const AGAIN_EVERY: Duration = Duration::from_secs(30);
/// After something new was wanted, everything is looked at for what may be ordered: many that come
/// one after the other cost one look.
const ATTENDED_WITHIN: Duration = Duration::from_millis(500);
/// Wishes that wait; who comes when it is full waits for a place.
const WISHES: usize = 16;

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
    shelf: Shelf,
    schedule: Schedule,
    looks: Looks,
    challenges: Challenges,
    authorities: Authorities,
    state_dir: PathBuf,
    /// Whether a renewal keeps the key.
    reuse_key: bool,
    counters: Arc<OrderCounters>,
    wanted: Arc<Wanted>,
    /// What was told last.
    reported: Arc<Certificates>,
    /// Orders that an earlier process began.
    unfinished: BTreeSet<Lineage>,
    /// What is under way.
    errands: BTreeMap<task::Id, Errand>,
    /// Why the others are not.
    waits: BTreeMap<Lineage, Waiting>,
    /// In which order names came.
    arrivals: BTreeMap<Lineage, u64>,
    arrived: u64,
    wishes: (mpsc::Sender<Wish>, mpsc::Receiver<Wish>),
    /// Who waits for the end of an order.
    wishing: Vec<(Lineage, Answer)>,
    /// What they are told at the end of the round.
    answers: Vec<(Answer, Result<String, String>)>,
}

impl Manager {
    pub fn new(certs: &Certs, state_dir: PathBuf) -> Self {
        let local = LocalAuthority::new(&state_dir);
        let state_dir = state_dir.join("acme");
        Self {
            shelf: Shelf::new(certs.dir.clone(), certs.default_for_unknown, local),
            schedule: Schedule::new(&state_dir),
            looks: Looks::default(),
            challenges: Challenges::default(),
            authorities: Authorities::new(wall),
            state_dir,
            reuse_key: certs.reuse_key,
            counters: Arc::default(),
            wanted: Arc::default(),
            reported: Arc::default(),
            unfinished: BTreeSet::new(),
            errands: BTreeMap::new(),
            waits: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            arrived: 0,
            wishes: mpsc::channel(WISHES),
            wishing: Vec::new(),
            answers: Vec::new(),
        }
    }

    pub fn store(&self) -> &Arc<Store> {
        self.shelf.store()
    }

    pub fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    pub fn counters(&self) -> &Arc<OrderCounters> {
        &self.counters
    }

    /// Where wishes go.
    pub fn wishes(&self) -> mpsc::Sender<Wish> {
        self.wishes.0.clone()
    }

    /// Why names are not served with what the folder holds for them, where there is a reason.
    pub fn troubles(&self) -> impl Iterator<Item = (&Domain, &str)> {
        self.shelf.troubles()
    }

    /// Completes or cleans away what a crash left half done in the folder. Blocking.
    pub fn repair(&self, now: SystemTime) {
        if let Err(error) = self.shelf.disk().repair(now) {
            warn!(error = %chain(&error), "what was left half done in the folder of certificates stays");
        }
    }

    /// Reads the folder for these names and puts what is good into the store. Blocking: a few
    /// small files per name.
    pub fn load(&mut self, wanted: Arc<Wanted>, now: SystemTime) {
        self.shelf.load(&wanted, now);
        self.wanted = wanted;
    }

    /// As [`Self::load`], for what is new alone where that is enough. Returns whose that is; `None`:
    /// everything was read.
    fn follow(&mut self, wanted: Arc<Wanted>, now: SystemTime) -> Option<BTreeSet<InstanceName>> {
        let before = Arc::clone(&self.wanted);
        let news = News::between(&before, &wanted);
        if !self.shelf.follow(&news, now) {
            self.load(wanted, now);
            return None;
        }
        let changed = news.gone.iter().chain(&news.new);
        let changed = changed.map(|one| one.instance.clone()).collect();
        self.wanted = Arc::clone(&wanted);
        Some(changed)
    }

    /// Follows what is wanted until shutdown: looks at the folder, orders what is due, reports.
    pub async fn run(
        mut self,
        mut wanted: watch::Receiver<Arc<Wanted>>,
        config: watch::Receiver<Current>,
        reports: watch::Sender<Arc<Certificates>>,
        mut shutdown: Shutdown,
    ) {
        let mut running: JoinSet<Outcome> = JoinSet::new();
        // Nothing but what is wanted has changed since the last round.
        let mut only_wanted = false;
        let mut attend: Option<Pin<Box<Sleep>>> = None;
        loop {
            let newest = Arc::clone(&wanted.borrow_and_update());
            let acme = config.borrow().config.acme.clone();
            let read = move |mut this: Self| {
                let changed = if only_wanted {
                    this.follow(newest, wall())
                } else {
                    this.load(newest, wall());
                    None
                };
                if acme.is_some() && changed.is_none() {
                    this.schedule.open(wall());
                    this.unfinished = orders::unfinished(&this.state_dir).into_iter().collect();
                }
                (this, acme, changed)
            };
            let Some((this, acme, changed)) = aside(self, read).await else {
                return;
            };
            self = this;
            let followed = changed.is_some();
            if let Some(acme) = acme.as_ref().filter(|_| !followed) {
                let Some(this) = self.attend(acme, &mut running).await else {
                    return;
                };
                self = this;
            }
            let report = self.report(changed, acme.as_ref(), wall());
            reports.send_if_modified(|known| {
                let new = known.differences(&report).next().is_some();
                *known = report;
                new
            });
            self.tell();
            let pause = self.until_something_is_due(wall());
            match (followed, &acme) {
                // What is new may want to be ordered.
                (true, Some(_)) => {
                    attend.get_or_insert_with(|| Box::pin(sleep(ATTENDED_WITHIN)));
                }
                (true, None) => {}
                (false, _) => attend = None,
            }
            only_wanted = false;
            tokio::select! {
                biased;
                () = shutdown.begun() => return,
                changed = wanted.changed() => match changed {
                    Ok(()) => only_wanted = true,
                    Err(_) => return,
                },
                Some(ended) = running.join_next_with_id() => self.end(ended).await,
                Some(wish) = self.wishes.1.recv() => self.wish(wish, acme.as_ref()),
                () = self.shelf.changed() => {}
                () = async {
                    match &mut attend {
                        Some(due) => due.await,
                        None => std::future::pending().await,
                    }
                } => {}
                () = sleep(pause.min(AGAIN_EVERY)) => {}
            }
        }
    }
}

/// Does something blocking with the whole room. `None`: it panicked; what is served stays.
async fn aside<T: Send + 'static>(
    manager: Manager,
    work: impl FnOnce(Manager) -> T + Send + 'static,
) -> Option<T> {
    match task::spawn_blocking(move || work(manager)).await {
        Ok(result) => Some(result),
        Err(error) => {
            error!(%error, "the certificate room panicked; what is served stays");
            None
        }
    }
}

/// The names of a certificate that an authority may be asked for.
fn orderable(wanted: &WantedCertificate, acme: &Acme) -> Option<Lineage> {
    if wanted.pinned.is_some() || !wanted.may_order {
        return None;
    }
    let known = |name: &&Hostname| {
        if acme.preflight {
            name.is_public()
        } else {
            name.is_delegated()
        }
    };
    let hosts = wanted.names.iter().filter(known).cloned();
    let wildcards = wanted.wildcards.iter().filter(known).cloned();
    let provable = Means::of(acme).prove_wildcards();
    let wildcards = wildcards.filter(|_| provable).map(Domain::Below);
    Lineage::new(hosts.map(Domain::Exact).chain(wildcards), wanted.staging)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one clock of the certificate room"
)]
fn wall() -> SystemTime {
    SystemTime::now()
}
