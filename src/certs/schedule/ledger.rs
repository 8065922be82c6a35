//! What an order costs, and what its end means for the next.

use std::time::Duration;

use super::Schedule;
use super::attempts::{Attempts, Spacing};
use super::budget::{Cost, registered_domains};
use super::clock::Now;
use super::queue::{Candidate, Class, Origin};
use crate::certs::lineage::Lineage;

/// An order that was paid for.
#[derive(Clone, Debug)]
pub(in crate::certs) struct Begun {
    costs: Vec<Cost>,
    /// The attempts before it, where it is counted as one.
    before: Option<Option<Attempts>>,
    spacing: Spacing,
}

impl Begun {
    /// An order that goes on where another process left it: paid for long ago.
    pub(in crate::certs) fn resumed() -> Self {
        Self {
            costs: Vec::new(),
            before: None,
            spacing: Spacing::Usual,
        }
    }
}

/// How an order failed.
#[derive(Clone, Debug)]
pub(in crate::certs) struct Failure {
    pub(in crate::certs) error: String,
    /// Nobody answered as an authority should.
    pub(in crate::certs) is_down: bool,
    /// The authority may have made an order of it.
    pub(in crate::certs) was_ordered: bool,
    /// The authority looked for the names and did not find them here.
    pub(in crate::certs) is_validation: bool,
    /// What it asked for.
    pub(in crate::certs) retry_after: Option<Duration>,
}

impl Schedule {
    /// Counts and pays an order. Nothing may be asked before [`Schedule::save`] has said that it
    /// is kept.
    pub(in crate::certs) fn begin(
        &mut self,
        candidate: &Candidate,
        costs: Vec<Cost>,
        spacing: Spacing,
        now: Now,
    ) -> Begun {
        let steady = now.steady;
        self.kept.budget.charge(&costs, steady);
        if let Class::New {
            declared: Origin::ByPattern,
            ..
        } = candidate.class
        {
            self.kept.new_names.let_in(&candidate.lineage, steady);
        }
        if candidate.is_paced() {
            self.last_renewal = Some(steady);
        }
        let record = self.record_mut(&candidate.lineage);
        let before = record.attempts.clone();
        record.attempts = Some(Attempts::begin(before.as_ref(), steady, spacing));
        Begun {
            costs,
            before: Some(before),
            spacing,
        }
    }

    /// Takes back what was begun and never asked for.
    pub(in crate::certs) fn undo(&mut self, lineage: &Lineage, begun: &Begun, now: Now) {
        self.kept
            .budget
            .give_back_validation(&begun.costs, now.steady);
        self.kept.budget.give_back_order(&begun.costs, now.steady);
        if let Some(before) = &begun.before {
            self.record_mut(lineage).attempts.clone_from(before);
        }
    }

    pub(in crate::certs) fn succeeded(
        &mut self,
        lineage: &Lineage,
        directory: &str,
        begun: &Begun,
        now: Now,
    ) {
        self.kept
            .budget
            .give_back_validation(&begun.costs, now.steady);
        self.kept.pauses.answered(directory);
        let record = self.record_mut(lineage);
        record.issuer = Some(directory.to_owned());
        record.renewal = None;
        if let Some(attempts) = &mut record.attempts {
            attempts.succeed();
        }
    }

    pub(in crate::certs) fn failed(
        &mut self,
        lineage: &Lineage,
        directory: &str,
        begun: &Begun,
        failure: &Failure,
        now: Now,
    ) {
        let steady = now.steady;
        let Failure {
            error,
            is_down,
            was_ordered,
            is_validation,
            retry_after,
        } = failure;
        if !is_validation {
            self.kept.budget.give_back_validation(&begun.costs, steady);
        }
        if !was_ordered {
            self.kept.budget.give_back_order(&begun.costs, steady);
        }
        if *is_down {
            self.kept
                .pauses
                .unanswered(directory, *retry_after, error, steady);
        } else {
            self.kept.pauses.answered(directory);
            if let Some(asked) = retry_after.filter(|_| !is_about_names_alone(error)) {
                let domains = registered_domains(lineage);
                self.kept
                    .pauses
                    .limited(directory, &domains, asked, error, steady);
            }
        }
        let record = self.record_mut(lineage);
        if let (true, false) = (is_down, was_ordered) {
            // Nobody was asked: the pause is the directory's and no try of the names.
            if let Some(before) = &begun.before {
                record.attempts.clone_from(before);
            }
            return;
        }
        let attempts = record
            .attempts
            .get_or_insert_with(|| Attempts::begin(None, steady, begun.spacing));
        attempts.fail(steady, begun.spacing, *retry_after, error.clone());
    }
}

/// Whether a limit that was met is about exactly these names, in the words of Let's Encrypt. Other
/// words are believed to mean more.
fn is_about_names_alone(error: &str) -> bool {
    error.contains("exact set of") || error.contains("failed authorizations")
}
