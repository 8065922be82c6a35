//! Whom the events of a moment are about.
//!
//! One stack of a thousand that says something costs what one costs. The others are looked at once a
//! second, when time has passed for everybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::InstanceName;

/// Instances to look at again.
#[derive(Clone, Debug, Default)]
pub(super) struct Touched {
    everybody: bool,
    some: BTreeSet<InstanceName>,
}

/// What each stage has not looked at since something happened to it.
#[derive(Debug)]
pub(super) struct Stale {
    pub(super) settle: Touched,
    pub(super) plan: Touched,
    pub(super) targets: Touched,
    pub(super) certificates: Touched,
    pub(super) status: Touched,
    /// Which instances are on which network.
    pub(super) doors: bool,
}

impl Touched {
    fn everybody() -> Self {
        Self {
            everybody: true,
            some: BTreeSet::new(),
        }
    }

    /// Those that are left after these have been taken.
    pub(super) fn take(&mut self) -> Self {
        std::mem::take(self)
    }

    pub(super) fn is_everybody(&self) -> bool {
        self.everybody
    }

    pub(super) fn is_nobody(&self) -> bool {
        !self.everybody && self.some.is_empty()
    }

    pub(super) fn has(&self, name: &InstanceName) -> bool {
        self.everybody || self.some.contains(name)
    }

    /// Forgets those of these who are not there any more. Returns whether there were any.
    pub(super) fn prune<T, U>(
        &self,
        known: &mut BTreeMap<InstanceName, T>,
        there: &BTreeMap<InstanceName, U>,
    ) -> bool {
        let before = known.len();
        if self.everybody {
            known.retain(|name, _| there.contains_key(name));
        }
        for name in self.some.iter().filter(|name| !there.contains_key(*name)) {
            known.remove(name);
        }
        known.len() < before
    }

    /// All but these.
    pub(super) fn others<'n>(&self, all: impl Iterator<Item = &'n InstanceName>) -> Self {
        Self {
            everybody: false,
            some: all.filter(|name| !self.has(name)).cloned().collect(),
        }
    }

    /// These of all there are.
    pub(super) fn of<'t, T>(
        &self,
        all: &'t mut BTreeMap<InstanceName, T>,
    ) -> impl Iterator<Item = (&'t InstanceName, &'t mut T)> {
        all.iter_mut().filter(|(name, _)| self.has(name))
    }

    fn add(&mut self, name: &InstanceName) {
        if !self.has(name) {
            self.some.insert(name.clone());
        }
    }
}

impl Stale {
    pub(super) fn everything() -> Self {
        Self {
            settle: Touched::everybody(),
            plan: Touched::everybody(),
            targets: Touched::everybody(),
            certificates: Touched::everybody(),
            status: Touched::everybody(),
            doors: true,
        }
    }

    pub(super) fn has_news(&self) -> bool {
        self.doors || !self.settle.is_nobody()
    }

    /// Something happened that is about this instance alone.
    pub(super) fn touch(&mut self, name: &InstanceName) {
        let stages = [
            &mut self.settle,
            &mut self.plan,
            &mut self.targets,
            &mut self.certificates,
            &mut self.status,
        ];
        stages.into_iter().for_each(|stage| stage.add(name));
    }
}
