//! A rule under observation: what it saw and what it asked for, second by second.

use usher::simulate::{Glimpse, Rule, Sizes};

pub struct Witness<R> {
    rule: R,
    pub seconds: Vec<Second>,
}

pub struct Second {
    pub sessions: f64,
    pub ready_workers: u32,
    pub sizes: Sizes,
}

impl<R> Witness<R> {
    pub fn of(rule: R) -> Self {
        Self {
            rule,
            seconds: Vec::new(),
        }
    }
}

impl<R: Rule> Rule for Witness<R> {
    fn admits(&self) -> bool {
        self.rule.admits()
    }

    fn drains(&self) -> bool {
        self.rule.drains()
    }

    fn closes(&self, second: usize) -> bool {
        self.rule.closes(second)
    }

    fn begins_with(&mut self, wanted: f64) -> u32 {
        self.rule.begins_with(wanted)
    }

    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes {
        let sizes = self.rule.tick(glimpse);
        self.seconds.push(Second {
            sessions: glimpse.sessions,
            ready_workers: glimpse.ready_workers,
            sizes,
        });
        sizes
    }
}
