//! Room on the host: what there is left of it for replicas.

use std::collections::BTreeMap;

use crate::autoscaler::{Resources, Scarce};

/// What is known of the host, beside itself.
#[derive(Debug, Default)]
pub(in crate::control) struct Census {
    /// Memory of everything that runs and is not scaled by usher, by unit.
    pub(in crate::control) others: BTreeMap<String, u64>,
    /// Whether anything has been looked at.
    pub(in crate::control) looked: bool,
}

/// What may still be started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::control) struct Room {
    pub(in crate::control) left: Resources,
    /// What kind of memory it is.
    pub(in crate::control) memory: Scarce,
}

impl Room {
    /// What there is not enough of for this.
    pub(in crate::control) fn scarce_for(&self, wanted: Resources) -> Option<Scarce> {
        if self.left.memory < wanted.memory {
            Some(self.memory)
        } else {
            (self.left.processor < wanted.processor).then_some(Scarce::Processors)
        }
    }

    pub(in crate::control) fn minus(self, taken: Resources) -> Self {
        Self {
            left: self.left.minus(taken),
            ..self
        }
    }

    /// Bytes and thousandths of a processor, as far as anybody knows.
    pub(in crate::control) fn known(self) -> (Option<u64>, Option<u64>) {
        let known = |left: u64| (left != u64::MAX).then_some(left);
        (known(self.left.memory), known(self.left.processor))
    }

    /// How many of these fit, on the average.
    pub(in crate::control) fn holds_of(&self, all: Resources, count: u64) -> u64 {
        let of = |left: u64, all: u64| match all {
            0 => u128::from(u64::MAX),
            all => u128::from(left) * u128::from(count) / u128::from(all),
        };
        let fit = of(self.left.memory, all.memory).min(of(self.left.processor, all.processor));
        u64::try_from(fit).unwrap_or(u64::MAX)
    }
}

impl Census {
    pub(in crate::control) fn others(&self) -> u64 {
        self.others.values().copied().fold(0, u64::saturating_add)
    }
}
