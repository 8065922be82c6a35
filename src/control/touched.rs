//! Whom the events of a moment are about.
//!
//! One stack of a thousand that says something costs what one costs. The others are looked at once a
//! second, when time has passed for everybody.

use std::collections::{BTreeMap, BTreeSet};

use crate::names::InstanceName;
use crate::shared::Map;

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

    /// Those of these who are not there any more.
    pub(super) fn gone<T: ?Sized, U>(
        &self,
        known: &Map<InstanceName, T>,
        there: &BTreeMap<InstanceName, U>,
    ) -> Vec<InstanceName> {
        let is_gone = |name: &&InstanceName| !there.contains_key(*name);
        match self.everybody {
            true => known.keys().filter(is_gone).cloned().collect(),
            false => {
                let some = self.some.iter().filter(|name| known.contains_key(*name));
                some.filter(is_gone).cloned().collect()
            }
        }
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
        &'t self,
        all: &'t BTreeMap<InstanceName, T>,
    ) -> Box<dyn Iterator<Item = (&'t InstanceName, &'t T)> + 't> {
        match self.everybody {
            true => Box::new(all.iter()),
            false => Box::new(self.some.iter().filter_map(|name| all.get_key_value(name))),
        }
    }

    /// The names of these; some may have gone.
    pub(super) fn names<'t>(
        &'t self,
        all: impl Iterator<Item = &'t InstanceName> + 't,
    ) -> Box<dyn Iterator<Item = &'t InstanceName> + 't> {
        match self.everybody {
            true => Box::new(all),
            false => Box::new(self.some.iter()),
        }
    }

    /// As [`Self::of`], to change them.
    pub(super) fn each<T>(
        &self,
        all: &mut BTreeMap<InstanceName, T>,
        mut change: impl FnMut(&InstanceName, &mut T),
    ) {
        match self.everybody {
            true => all.iter_mut().for_each(|(name, one)| change(name, one)),
            false => {
                for name in &self.some {
                    if let Some(one) = all.get_mut(name) {
                        change(name, one);
                    }
                }
            }
        }
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
