//! What may still be asked of an authority: pure.
//!
//! Half of every limit that Let's Encrypt publishes, in buckets that fill as theirs do. Restarts,
//! faults of ours and other machines with the same names live on the other half.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Steady;
use crate::certs::lineage::Lineage;
use crate::names::Domain;

const HOUR: Duration = Duration::from_secs(3_600);
const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// So many within a time, and one more whenever its share of that time has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Limit {
    most: u32,
    within: Duration,
    what: &'static str,
}

// Half of what letsencrypt.org/docs/rate-limits publishes.
const ACCOUNTS: Limit = Limit {
    most: 5,
    within: Duration::from_secs(3 * 3_600),
    what: "new accounts within 3 hours",
};
const CERTIFICATES: Limit = Limit {
    most: 25,
    within: WEEK,
    what: "new certificates within 7 days",
};
const FAILURES: Limit = Limit {
    most: 2,
    within: HOUR,
    what: "validations within an hour that may fail",
};
const ORDERS: Limit = Limit {
    most: 150,
    within: Duration::from_secs(3 * 3_600),
    what: "new orders within 3 hours",
};
const SAME_NAMES: Limit = Limit {
    most: 2,
    within: WEEK,
    what: "certificates for exactly these names within 7 days",
};

impl Limit {
    fn interval(self) -> Duration {
        self.within / self.most.max(1)
    }
}

/// Why an order is made. Renewals are exempt from limits that new names fall under.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::certs) enum Purpose {
    New,
    /// The same names once more.
    Renewal,
    /// The same names once more, and the authority is told which certificate it replaces
    /// (RFC 9773 §5).
    Replacement,
}

/// One thing that is spent by an order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::certs) struct Cost {
    bucket: String,
    limit: Limit,
    /// What the limit is about, for people.
    subject: String,
    returned: bool,
}

/// What one order costs with one directory, known by its URL.
pub(in crate::certs) fn costs(
    directory: &str,
    contact: &str,
    lineage: &Lineage,
    purpose: Purpose,
    new_account: bool,
) -> Vec<Cost> {
    let mut costs = Vec::new();
    let mut add = |kind: &str, limit: Limit, subject: &str, returned: bool| {
        costs.push(Cost {
            bucket: format!("{directory} {kind} {subject}"),
            limit,
            subject: subject.to_owned(),
            returned,
        });
    };
    if new_account {
        add("accounts", ACCOUNTS, "this machine", false);
    }
    if purpose == Purpose::New {
        for domain in registered_domains(lineage) {
            add("certificates", CERTIFICATES, &domain, false);
        }
        add("orders", ORDERS, contact, false);
    }
    if purpose != Purpose::Replacement {
        let names: BTreeSet<String> = lineage.names().iter().map(ToString::to_string).collect();
        let names: Vec<String> = names.into_iter().collect();
        add("same-names", SAME_NAMES, &names.join(","), false);
    }
    // Spent as if it failed, and given back when it did not: a crash in between is no way around.
    for name in lineage.names() {
        add("failures", FAILURES, &name.to_string(), true);
    }
    costs
}

/// The names that people register, from the public-suffix list: `example.co.uk` for
/// `a.b.example.co.uk`. What nobody can register counts as itself.
pub(in crate::certs) fn registered_domains(lineage: &Lineage) -> BTreeSet<String> {
    lineage
        .names()
        .iter()
        .map(|(Domain::Exact(name) | Domain::Below(name))| name.as_str())
        .map(|name| psl::domain_str(name).unwrap_or(name).to_owned())
        .collect()
}

/// Why nothing may be spent now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::certs) struct Spent {
    pub(in crate::certs) until: Steady,
    /// Completes "nothing is ordered until …: ".
    pub(in crate::certs) why: String,
}

/// What was spent: for each bucket the moment at which it is full again.
///
/// That one moment is the whole state of a bucket that fills evenly (the generic cell rate
/// algorithm, ITU-T I.371): each cost moves it on by the time that one unit takes to return.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub(in crate::certs) struct Budget(BTreeMap<String, Steady>);

impl Budget {
    /// Whether all of it can be paid.
    pub(super) fn allows(&self, costs: &[Cost], now: Steady) -> Result<(), Spent> {
        let latest = costs
            .iter()
            .filter_map(|cost| {
                let until = self.available(cost, now);
                (until > now).then_some((until, cost))
            })
            .max_by_key(|(until, _)| *until);
        match latest {
            None => Ok(()),
            Some((until, cost)) => Err(Spent {
                until,
                why: format!(
                    "{}: {} {} are spent, half of what the authority allows",
                    cost.subject, cost.limit.most, cost.limit.what
                ),
            }),
        }
    }

    /// The first moment at which one more is left.
    fn available(&self, cost: &Cost, now: Steady) -> Steady {
        let limit = cost.limit;
        let Some(full) = self.full(cost, now) else {
            return now;
        };
        // All but one unit may be missing.
        let spare = limit.interval() * limit.most.saturating_sub(1);
        let missing = full.since(now);
        now + missing.saturating_sub(spare)
    }

    /// When the bucket is full again. No bucket is emptier than empty, whatever a file says.
    fn full(&self, cost: &Cost, now: Steady) -> Option<Steady> {
        let full = *self.0.get(&cost.bucket)?;
        (full > now).then_some(full.min(now + cost.limit.within))
    }

    pub(super) fn charge(&mut self, costs: &[Cost], now: Steady) {
        for cost in costs {
            let full = self.full(cost, now).unwrap_or(now) + cost.limit.interval();
            self.0.insert(cost.bucket.clone(), full);
        }
    }

    /// Gives back what only a failed validation costs.
    pub(super) fn give_back_validation(&mut self, costs: &[Cost], now: Steady) {
        self.refill(costs.iter().filter(|cost| cost.returned), now);
    }

    /// Gives back everything but that: the authority never made an order of it.
    pub(super) fn give_back_order(&mut self, costs: &[Cost], now: Steady) {
        self.refill(costs.iter().filter(|cost| !cost.returned), now);
    }

    fn refill<'c>(&mut self, costs: impl Iterator<Item = &'c Cost>, now: Steady) {
        for cost in costs {
            if let Some(full) = self.full(cost, now) {
                let missing = full.since(now).saturating_sub(cost.limit.interval());
                self.0.insert(cost.bucket.clone(), now + missing);
            }
        }
    }

    /// Forgets buckets that are full.
    pub(super) fn prune(&mut self, now: Steady) {
        self.0.retain(|_, full| *full > now);
    }
}

#[cfg(test)]
mod tests;
