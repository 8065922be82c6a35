//! What replicas take of a host, in the two things it can run out of.

use std::fmt;

/// Memory and processor time, taken or to be had.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Resources {
    /// In bytes.
    pub memory: u64,
    /// In thousandths of a processor.
    pub processor: u64,
}

/// What there is not enough of.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Scarce {
    /// Memory that is not set aside for what runs.
    Budget,
    /// Memory that the kernel still has.
    #[default]
    Memory,
    Processors,
}

impl Resources {
    /// More than anybody needs: what nobody knows limits nobody.
    pub const BOUNDLESS: Self = Self {
        memory: u64::MAX,
        processor: u64::MAX,
    };

    /// Of memory only.
    pub fn of_memory(memory: u64) -> Self {
        Self {
            memory,
            processor: 0,
        }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_add(other.memory),
            processor: self.processor.saturating_add(other.processor),
        }
    }

    /// No less than nothing.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            memory: self.memory.saturating_sub(other.memory),
            processor: self.processor.saturating_sub(other.processor),
        }
    }

    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self {
            memory: self.memory.saturating_mul(count.into()),
            processor: self.processor.saturating_mul(count.into()),
        }
    }

    /// Whether it is enough for this.
    pub fn holds(self, other: Self) -> bool {
        self.memory >= other.memory && self.processor >= other.processor
    }

    /// The larger of its two shares of a whole, in billionths: its dominant share.
    pub fn share_of(self, whole: Self) -> u128 {
        let share = |part: u64, of: u64| u128::from(part) * 1_000_000_000 / u128::from(of.max(1));
        share(self.memory, whole.memory).max(share(self.processor, whole.processor))
    }
}

/// As a sentence says it: "host memory allows 5".
impl fmt::Display for Scarce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Budget => "host memory budget",
            Self::Memory => "host memory",
            Self::Processors => "host processor time",
        })
    }
}
