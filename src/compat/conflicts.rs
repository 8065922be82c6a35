//! Who has a name that several stacks claim: the one that got it first, while it lives and a day more.
//!
//! Only names about which somebody says something else than before, and those whose time has come,
//! are settled: what the others cost does not grow with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::stack::HostClaim;
use crate::names::{ServiceName, StackName};

/// A name is its owner's for so long after the owner last ran, whether its containers are stopped or
/// gone: nobody gets a name, its visitors and its certificate by waiting for an outage.
pub(super) const KEPT_FOR: Duration = Duration::from_secs(86_400);

/// So long for an owner that gave the name up, and for one that was never seen running: both may be
/// in the middle of being made anew.
const MOMENT: Duration = Duration::from_secs(10);

/// The owners of names.
#[derive(Debug, Default)]
pub(super) struct Owners {
    pub(super) names: BTreeMap<Arc<str>, Name>,
    /// The names that a stack claims or owns.
    of: BTreeMap<StackName, BTreeSet<Arc<str>>>,
    due: BTreeSet<(Instant, Arc<str>)>,
    touched: BTreeSet<Arc<str>>,
    version: u64,
}

#[derive(Debug, Default)]
pub(super) struct Name {
    pub(super) owner: Option<Owner>,
    /// In the order of their stacks; nearly always there is one.
    claimants: Vec<Claimant>,
    /// Under which moment it is in `due`.
    due: Option<Instant>,
    /// The owner that was last told, and whether it was away.
    told: Option<(StackName, bool)>,
}

#[derive(Debug)]
pub(super) struct Owner {
    pub(super) stack: StackName,
    /// The services that asked for it last. None: nobody remembers.
    pub(super) services: Vec<ServiceName>,
    /// Set while nothing of it runs that asks for the name.
    pub(super) until: Option<Instant>,
}

#[derive(Debug, PartialEq)]
struct Claimant {
    stack: StackName,
    alive: bool,
    services: Vec<ServiceName>,
}

/// How a name stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing<'o> {
    pub(super) owner: &'o StackName,
    /// Whether nothing of the owner runs that asks for it.
    pub(super) away: bool,
}

impl Owners {
    pub(super) fn of(&self, name: &str) -> Option<Standing<'_>> {
        let owner = self.names.get(name)?.owner.as_ref()?;
        Some(Standing {
            owner: &owner.stack,
            away: owner.until.is_some(),
        })
    }

    /// Stacks that claim a name.
    pub(super) fn claimants(&self, name: &str) -> impl Iterator<Item = &StackName> {
        let known = self.names.get(name);
        let claimants = known.into_iter().flat_map(|name| &name.claimants);
        claimants.map(|one| &one.stack)
    }

    /// When a name may get another owner by time alone.
    pub(super) fn again_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// Another number whenever a name has another owner.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Takes in what a stack claims now, in place of what it claimed before. `renounces` says whether
    /// a service of it runs and says nothing of a name.
    pub(super) fn claim(
        &mut self,
        now: Instant,
        stack: &StackName,
        claims: &BTreeMap<&str, &HostClaim>,
        renounces: impl Fn(&ServiceName, &str) -> bool,
    ) {
        let before = self.of.remove(stack).unwrap_or_default();
        let mut of = BTreeSet::new();
        for (text, said) in claims {
            let name = before.get(*text).cloned();
            let name = name.unwrap_or_else(|| self.known(text));
            let state = self.names.entry(Arc::clone(&name)).or_default();
            let claimant = Claimant {
                stack: stack.clone(),
                alive: said.alive,
                services: said.services.clone(),
            };
            let is_new = match state.place(stack) {
                Ok(at) => {
                    std::mem::replace(&mut state.claimants[at], claimant) != state.claimants[at]
                }
                Err(at) => {
                    state.claimants.insert(at, claimant);
                    true
                }
            };
            if is_new {
                self.touched.insert(Arc::clone(&name));
            }
            of.insert(name);
        }
        for name in before {
            let Some(state) = self.names.get_mut(&name) else {
                continue;
            };
            if claims.contains_key(&*name) {
                continue;
            }
            let place = state.place(stack);
            let mut touched = place.map(|at| state.claimants.remove(at)).is_ok();
            if let Some(owner) = state.owner.as_mut().filter(|owner| owner.stack == *stack) {
                let mut services = owner.services.iter();
                let gave_up = services.len() > 0 && services.all(|one| renounces(one, &name));
                if gave_up {
                    let soon = now + MOMENT;
                    owner.until = Some(owner.until.map_or(soon, |until| until.min(soon)));
                }
                touched |= gave_up;
                of.insert(Arc::clone(&name));
            }
            if touched {
                self.touched.insert(name);
            }
        }
        if !of.is_empty() {
            self.of.insert(stack.clone(), of);
        }
    }

    fn known(&self, text: &str) -> Arc<str> {
        let known = self.names.get_key_value(text);
        known.map_or_else(|| text.into(), |(name, _)| Arc::clone(name))
    }

    /// Settles what was touched and what is due. Says which names have another owner, or one that
    /// went away or came back.
    pub(super) fn settle(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut touched = std::mem::take(&mut self.touched);
        while let Some((at, name)) = self.due.pop_first() {
            if at > now {
                self.due.insert((at, name));
                break;
            }
            touched.insert(name);
        }
        let mut changed = Vec::new();
        for name in touched {
            let Some(state) = self.names.get_mut(&name) else {
                continue;
            };
            state.settle(now);
            let due = state.owner.as_ref().and_then(|owner| owner.until);
            let due = due.filter(|due| *due > now);
            let was_due = std::mem::replace(&mut state.due, due);
            let standing = state.owner.as_ref();
            let standing = standing.map(|owner| (owner.stack.clone(), owner.until.is_some()));
            let told = std::mem::replace(&mut state.told, standing);
            let (is_new, is_over) = (state.told != told, state.owner.is_none());
            let owner = state.told.as_ref().map(|(owner, _)| owner.clone());
            if is_over && state.claimants.is_empty() {
                self.names.remove(&name);
            }
            if was_due != due {
                was_due.map(|at| self.due.remove(&(at, Arc::clone(&name))));
                due.map(|at| self.due.insert((at, Arc::clone(&name))));
            }
            if is_new {
                self.version += 1;
                let former = told.map(|(former, _)| former);
                if former != owner {
                    self.moved(&name, former.as_ref(), owner);
                }
                changed.push(name);
            }
        }
        changed
    }

    /// Keeps `of` in line with a name's new owner.
    fn moved(&mut self, name: &Arc<str>, former: Option<&StackName>, owner: Option<StackName>) {
        if let Some(former) = former
            && let Some(of) = self.of.get_mut(former)
        {
            let state = self.names.get(name);
            if state.is_none_or(|state| state.place(former).is_err()) {
                of.remove(name);
            }
            if of.is_empty() {
                self.of.remove(former);
            }
        }
        if let Some(owner) = owner {
            self.of.entry(owner).or_default().insert(Arc::clone(name));
        }
    }

    /// Gives a name that nobody has to one who is not asked.
    pub(super) fn give(&mut self, name: &str, owner: Owner) {
        let name = self.known(name);
        let state = self.names.entry(Arc::clone(&name)).or_default();
        if state.owner.is_none() {
            self.of
                .entry(owner.stack.clone())
                .or_default()
                .insert(Arc::clone(&name));
            state.owner = Some(owner);
            self.touched.insert(name);
        }
    }

    /// Lets go of what others decide about, whoever had it.
    pub(super) fn forget(&mut self, is_theirs: impl Fn(&str) -> bool) {
        for (name, state) in self.names.iter_mut().filter(|(name, _)| is_theirs(name)) {
            if state.owner.take().is_some() {
                self.touched.insert(Arc::clone(name));
            }
        }
    }

    /// Has every name settled again.
    #[cfg(test)]
    pub(super) fn touch_all(&mut self) {
        self.touched.extend(self.names.keys().cloned());
    }
}

impl Name {
    /// Where a stack is among the claimants, or would be.
    fn place(&self, stack: &StackName) -> Result<usize, usize> {
        self.claimants.binary_search_by(|one| one.stack.cmp(stack))
    }

    fn settle(&mut self, now: Instant) {
        let claimants = &self.claimants;
        let is_kept = self.owner.as_mut().is_some_and(|owner| {
            let own = claimants.iter().find(|one| one.stack == owner.stack);
            if let Some(own) = own {
                owner.services.clone_from(&own.services);
            }
            if own.is_some_and(|own| own.alive) {
                owner.until = None;
                return true;
            }
            let until = *owner.until.get_or_insert(now + KEPT_FOR);
            // While nobody else could serve it, it may be down as long as it likes.
            until > now || (own.is_some() && !claimants.iter().any(|one| one.alive))
        });
        if is_kept {
            return;
        }
        let alive = claimants.iter().find(|one| one.alive);
        self.owner = alive.or_else(|| claimants.first()).map(|one| Owner {
            stack: one.stack.clone(),
            services: one.services.clone(),
            until: (!one.alive).then(|| now + MOMENT),
        });
    }
}

#[cfg(test)]
mod tests;
