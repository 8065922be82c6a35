//! The rules of others, for comparison, each as its documentation and source describe it. Their
//! proxies let everybody in at once, and none of them drains.

use std::collections::VecDeque;

use usher::simulate::{Expected, Glimpse, Rule, Sizes};

const MOST: u32 = 16;
/// 70 % of what a replica can hold.
const TARGET: f64 = 140.0;

fn sizes(webs: u32) -> Sizes {
    Sizes {
        webs,
        workers: webs * 4,
    }
}

fn whole(amount: f64) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let whole = amount.max(0.0) as u32;
    whole
}

/// What all of them have in common.
macro_rules! blind {
    () => {
        fn admits(&self) -> bool {
            false
        }

        fn drains(&self) -> bool {
            false
        }

        fn begins_with(&mut self, wanted: f64) -> u32 {
            self.webs = whole((wanted / 150.0).ceil()).max(1);
            self.webs
        }
    };
}

/// Kubernetes' HorizontalPodAutoscaler, version 2, with its default behaviour.
pub struct Hpa {
    webs: u32,
    recommended: VecDeque<(usize, u32)>,
}

impl Hpa {
    pub fn new() -> Self {
        Self {
            webs: 1,
            recommended: VecDeque::new(),
        }
    }
}

impl Rule for Hpa {
    blind!();

    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes {
        // Every 15 s, with a tolerance of a tenth, and the most of the last five minutes.
        if glimpse.second.is_multiple_of(15) {
            let ready = f64::from(glimpse.ready_webs.max(1));
            let ratio = glimpse.sessions / ready / TARGET;
            let desired = if (ratio - 1.0).abs() <= 0.1 {
                self.webs
            } else {
                whole((ready * ratio).ceil()).clamp(1, MOST)
            };
            self.recommended.push_back((glimpse.second, desired));
            let old = glimpse.second.saturating_sub(300);
            while self.recommended.front().is_some_and(|(at, _)| *at < old) {
                self.recommended.pop_front();
            }
            let highest = self
                .recommended
                .iter()
                .map(|(_, one)| *one)
                .max()
                .unwrap_or(1);
            self.webs = if desired > self.webs {
                desired.min((2 * self.webs).max(self.webs + 4))
            } else {
                self.webs.min(highest)
            };
        }
        sizes(self.webs)
    }
}

/// Knative's autoscaler: the mean of a minute, and of six seconds in a panic.
pub struct Kpa {
    webs: u32,
    demand: VecDeque<f64>,
    panic: Option<usize>,
    panic_most: u32,
}

impl Kpa {
    pub fn new() -> Self {
        Self {
            webs: 1,
            demand: VecDeque::new(),
            panic: None,
            panic_most: 0,
        }
    }
}

impl Rule for Kpa {
    blind!();

    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes {
        self.demand
            .push_back(glimpse.sessions + glimpse.pending + glimpse.held);
        if self.demand.len() > 60 {
            self.demand.pop_front();
        }
        if glimpse.second.is_multiple_of(2) {
            let mean = |seconds: usize| {
                let newest = self.demand.iter().rev().take(seconds);
                let count = f64::from(u32::try_from(newest.len()).unwrap_or(1).max(1));
                newest.sum::<f64>() / count
            };
            let ready = glimpse.ready_webs.max(1);
            let least = ready / 2;
            let stable = whole((mean(60) / TARGET).ceil()).max(least);
            let short = whole((mean(6) / TARGET).ceil());
            let second = glimpse.second;
            if f64::from(short) / f64::from(ready) >= 2.0 {
                self.panic = Some(second);
            } else if self.panic.is_some_and(|since| second - since > 60) {
                self.panic = None;
                self.panic_most = 0;
            }
            let desired = if self.panic.is_some() {
                self.panic_most = self.panic_most.max(stable).max(short.max(least));
                self.panic_most
            } else {
                stable
            };
            self.webs = desired.clamp(1, MOST);
        }
        sizes(self.webs)
    }
}

/// Fly's proxy: one more when all are full, one less every few minutes.
pub struct Fly {
    webs: u32,
}

impl Fly {
    pub fn new() -> Self {
        Self { webs: 1 }
    }
}

impl Rule for Fly {
    blind!();

    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes {
        let full = glimpse.per_web.iter().filter(|web| **web >= 150.0).count();
        let full = u32::try_from(full).unwrap_or(u32::MAX);
        let starting = glimpse.webs > glimpse.ready_webs;
        if !starting && full > 0 && full == glimpse.ready_webs {
            self.webs = (self.webs + 1).min(MOST);
        } else if glimpse.second.is_multiple_of(180) && self.webs > 1 && self.webs > full + 1 {
            self.webs -= 1;
        }
        sizes(self.webs)
    }
}

/// The calendar alone, as the hosting tool of OpenSlides has it: what is announced, and one else.
pub struct Calendar {
    webs: u32,
    expected: Vec<Expected>,
}

impl Calendar {
    pub fn new(expected: &[Expected]) -> Self {
        Self {
            webs: 1,
            expected: expected.to_vec(),
        }
    }
}

impl Rule for Calendar {
    blind!();

    fn tick(&mut self, glimpse: &Glimpse<'_>) -> Sizes {
        let now = u64::try_from(glimpse.second).unwrap_or(u64::MAX);
        let on = |one: &&Expected| (one.from..=one.until + 86_399).contains(&now);
        let sessions = self
            .expected
            .iter()
            .filter(on)
            .map(|one| one.sessions)
            .max();
        sizes(sessions.unwrap_or(1).div_ceil(150))
    }
}
