//! What is begun next: candidates pass one gate after the other, and what passes them all is paid
//! for, kept on the disk and only then asked of the authority.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;

use super::errand::{Errand, Outcome};
use super::jobs::{Terms, directories};
use super::lineage::Lineage;
use super::orders::Job;
use super::preflight::Gate;
use super::schedule::{Begun, Candidate, Class, Hurry, Now, PARALLEL, Wait, line_up};
use super::shelf::Held;
use super::{AGAIN_EVERY, Manager, aside, orderable, wall};
use crate::config::model::Acme;
use crate::moment;
use crate::plan::Declared;

/// Why names are not ordered now.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Waiting {
    /// When the certificate is to be renewed.
    pub(super) due: Option<SystemTime>,
    pub(super) wait: Wait,
}

/// An order that is paid for and may begin when that is on the disk.
struct Ready {
    lineage: Lineage,
    job: Job,
    begun: Begun,
}

impl Manager {
    /// Begins what is due, as much as may run at once. `None`: the room panicked.
    pub(super) async fn attend(
        mut self,
        acme: &Acme,
        running: &mut JoinSet<Outcome>,
    ) -> Option<Self> {
        let Some(now) = self.schedule.now(wall()) else {
            return Some(self);
        };
        let terms = self.terms(acme);
        let wanted: Vec<Lineage> = terms.keys().cloned().collect();
        self.schedule.prune(&wanted, now);
        self.looks.prune(|lineage| terms.contains_key(lineage));
        self.arrivals
            .retain(|lineage, _| terms.contains_key(lineage));
        self.ask(acme, &wanted, now, running);
        let ready = self.choose(acme, &terms, now, running);
        // In trouble it is tried again, so that its end is noticed.
        if ready.is_empty() && !self.schedule.is_dirty() && self.schedule.trouble().is_none() {
            return Some(self);
        }
        let (mut this, kept) = aside(self, |mut this| {
            let kept = this.schedule.save(wall()).is_ok();
            (this, kept)
        })
        .await?;
        for Ready {
            lineage,
            job,
            begun,
        } in ready
        {
            if !kept {
                this.schedule.undo(&lineage, &begun, now);
                this.hold(lineage, this.in_trouble());
                continue;
            }
            this.looks.used(&lineage);
            let directory = job.directory.url.clone();
            let task = running.spawn(async move {
                let issued = job.issue().await;
                Outcome::Ordered(Box::new(job), issued)
            });
            let errand = Errand::Order {
                lineage,
                directory,
                begun,
            };
            this.errands.insert(task.id(), errand);
        }
        Some(this)
    }

    /// Every set of names that may be ordered, and what its declarations say.
    fn terms(&mut self, acme: &Acme) -> BTreeMap<Lineage, Terms> {
        let mut terms: BTreeMap<Lineage, Terms> = BTreeMap::new();
        for wanted in self.wanted.all() {
            let Some(lineage) = orderable(wanted, acme) else {
                continue;
            };
            self.arrivals.entry(lineage.clone()).or_insert_with(|| {
                self.arrived += 1;
                self.arrived
            });
            let email = wanted.email.as_ref().or(acme.email.as_ref());
            let own = Terms {
                // The staging authority has nobody to write to: its account is one and nobody's.
                email: email.filter(|_| !wanted.staging).cloned(),
                directory: wanted.directory.clone(),
                declared: wanted.declared,
                key_type: wanted.key_type,
            };
            terms
                .entry(lineage)
                .and_modify(|terms| {
                    if own.declared == Declared::ByName {
                        terms.declared = Declared::ByName;
                    }
                })
                .or_insert(own);
        }
        terms
    }

    /// Takes what passes every gate; notes why the others do not.
    fn choose(
        &mut self,
        acme: &Acme,
        terms: &BTreeMap<Lineage, Terms>,
        now: Now,
        running: &mut JoinSet<Outcome>,
    ) -> Vec<Ready> {
        self.waits.clear();
        let mut candidates = Vec::new();
        for (lineage, terms) in terms {
            if self.is_under_way(lineage) || self.shelf.blocked(lineage).is_some() {
                continue;
            }
            match self.class(lineage, terms, now) {
                Ok(class) => candidates.push(Candidate {
                    class,
                    lineage: lineage.clone(),
                }),
                Err(due) => {
                    let waiting = Waiting {
                        due: Some(due),
                        wait: Wait::default(),
                    };
                    self.waits.insert(lineage.clone(), waiting);
                }
            }
        }
        let mut ready: Vec<Ready> = Vec::new();
        for candidate in line_up(candidates) {
            let Some(terms) = terms.get(&candidate.lineage) else {
                continue;
            };
            let job = match self.pass(acme, &candidate, terms, &ready, now) {
                Ok(job) => job,
                Err(wait) => {
                    self.hold(candidate.lineage, wait);
                    continue;
                }
            };
            let under_way = self.count(|errand| !errand.is_ask()) + ready.len();
            if under_way >= PARALLEL {
                self.hold(candidate.lineage, Wait::default());
                continue;
            }
            let goes_on = matches!(candidate.class, Class::Unfinished | Class::Wished);
            if goes_on && job.resumes() {
                ready.push(Ready {
                    lineage: candidate.lineage,
                    job,
                    begun: Begun::resumed(),
                });
                continue;
            }
            let spacing = match self.looks.gate(acme, &candidate, now.steady) {
                Gate::Open(spacing) => spacing,
                Gate::Look => {
                    self.look(acme, &candidate.lineage, &job, running);
                    continue;
                }
                Gate::Shut(wait) => {
                    self.hold(candidate.lineage, wait);
                    continue;
                }
            };
            let costs = self.costs(&job, &candidate, terms);
            let begun = self.schedule.begin(&candidate, costs, spacing, now);
            ready.push(Ready {
                lineage: candidate.lineage,
                job,
                begun,
            });
        }
        ready
    }

    /// Why these names should have an order now; otherwise when they are to be renewed.
    fn class(&self, lineage: &Lineage, terms: &Terms, now: Now) -> Result<Class, SystemTime> {
        // Before all else: an operator's wish does not wait for the pause of what was begun.
        if self.wishing.iter().any(|(wished, _)| wished == lineage) {
            return Ok(Class::Wished);
        }
        let held = self.shelf.held(lineage);
        let unfinished = self.unfinished.contains(lineage);
        let Held::All { life, certificate } = held else {
            return Ok(if unfinished {
                Class::Unfinished
            } else {
                Class::New {
                    declared: terms.declared.into(),
                    since: self.arrivals.get(lineage).copied().unwrap_or_default(),
                }
            });
        };
        // What was begun is ended, due or not: it may be installed already and only not yet done.
        if unfinished {
            return Ok(Class::Unfinished);
        }
        let certificate = certificate.map(|id| id.to_string());
        let due = self
            .schedule
            .renew_at(lineage, life, certificate.as_deref());
        if due > now.wall {
            return Err(due);
        }
        let urgent = life.urgent_from() <= now.wall;
        // What the authority has to say about it comes within seconds.
        let unasked = certificate.is_some_and(|id| !self.schedule.has_been_asked(lineage, &id));
        if unasked && !urgent {
            return Err(now.wall + Duration::from_secs(1));
        }
        Ok(Class::Renewal {
            ends: life.not_after,
            hurry: if urgent {
                Hurry::Urgent
            } else {
                Hurry::CanWait
            },
        })
    }

    /// The gates that cost nothing to pass.
    fn pass(
        &self,
        acme: &Acme,
        candidate: &Candidate,
        terms: &Terms,
        ready: &[Ready],
        now: Now,
    ) -> Result<Job, Wait> {
        let lineage = &candidate.lineage;
        self.schedule
            .may_try(candidate, terms.declared, acme.new_names_per_day, now)?;
        if self.schedule.trouble().is_some() {
            return Err(self.in_trouble());
        }
        let mut first = None;
        for directory in directories(acme, lineage, terms.directory.as_deref()) {
            let own = |url: &str| url == directory.url;
            let under_way = ready
                .iter()
                .filter(|ready| own(&ready.job.directory.url))
                .count()
                + self.count(
                    |errand| matches!(errand, Errand::Order { directory, .. } if own(directory)),
                );
            let asked = self
                .schedule
                .may_ask(&directory.url, lineage, under_way, now);
            if let Err(wait) = asked {
                first.get_or_insert(wait);
                continue;
            }
            let job = self.job(acme, lineage, directory, terms);
            if candidate.class != Class::Unfinished || !job.resumes() {
                self.schedule
                    .may_spend(&self.costs(&job, candidate, terms), now)?;
            }
            return Ok(job);
        }
        Err(first.unwrap_or_else(|| match &terms.directory {
            Some(one) => Wait::never(format!(
                "no directory `{one}` is declared; add [acme.directory.NAME] with that `url`, or take the \
                 wish for it away"
            )),
            None => Wait::never("no directory is configured"),
        }))
    }

    /// Notes why names wait, and tells who wished for them.
    fn hold(&mut self, lineage: Lineage, wait: Wait) {
        if let Some(why) = &wait.why {
            let until = self
                .schedule
                .now(wall())
                .zip(wait.until)
                .map(|(now, until)| moment::text(until.on_the_wall(now)));
            let until = until.map_or_else(String::new, |until| format!(" before {until}"));
            let text = format!("nothing is ordered for {lineage}{until}: {why}");
            self.answer(&lineage, &Err(text));
        }
        self.waits.insert(lineage, Waiting { due: None, wait });
    }

    fn in_trouble(&self) -> Wait {
        Wait::never(self.schedule.trouble().unwrap_or_default())
    }

    pub(super) fn count(&self, which: impl Fn(&Errand) -> bool) -> usize {
        self.errands.values().filter(|errand| which(errand)).count()
    }

    pub(super) fn is_under_way(&self, lineage: &Lineage) -> bool {
        self.count(|errand| errand.lineage() == lineage) > 0
    }

    /// Until the first thing that waits for its time.
    pub(super) fn until_something_is_due(&self, wall: SystemTime) -> Duration {
        let Some(now) = self.schedule.now(wall) else {
            return AGAIN_EVERY;
        };
        let moments = self.waits.values().filter_map(|waiting| {
            let until = waiting.wait.until.map(|until| until.since(now.steady));
            let due = waiting.due;
            until.or_else(|| due.map(|due| due.duration_since(now.wall).unwrap_or_default()))
        });
        moments
            .min()
            // What is due and waits for something else must not spin.
            .map_or(AGAIN_EVERY, |pause| pause.max(Duration::from_secs(1)))
    }
}
