//! How many handshakes may be under way: a window that follows what those who answer can bear.
//!
//! A bound on what is under way, and not a rate: whoever answers is kept busy, and what waits inside
//! the stack stays short, so that everything else is answered meanwhile. It grows by one while
//! answers come quickly and halves when they do not, or when the stack says that it is too much.
//! Of a thousand handshakes at once a real daphne loses most, and the more workers there are behind
//! it, the more of them.

use std::time::Duration;

/// The window is judged so often.
const PERIOD: Duration = Duration::from_secs(5);
/// It may grow when 95 of 100 handshakes of a period were answered within this,
const QUICK: Duration = Duration::from_secs(1);
/// and halves when more than 5 of 100 took longer.
const SLOW: Duration = Duration::from_secs(3);
/// For each who answers.
const MOST: u32 = 16;

/// Who answers handshakes, and is counted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Hands {
    /// The replicas by themselves, many at a time. How long one takes says nothing about how many
    /// there are: an application may simply be slow to agree.
    #[default]
    Replicas,
    /// Workers behind them, each one at a time: slow answers mean that many wait.
    Workers,
}

impl Hands {
    fn first(self) -> u32 {
        match self {
            Self::Replicas => MOST,
            Self::Workers => 4,
        }
    }
}

/// So many handshakes for each who answers. Time passes for it when it is told so.
#[derive(Clone, Debug)]
pub struct Window {
    hands: Hands,
    each: u32,
    passed: Duration,
    /// Of this period: handshakes answered, those not quickly, those slowly.
    answered: u32,
    unhurried: u32,
    slow: u32,
    /// Somebody had to wait for a place.
    full: bool,
    /// The stack has said that it is too much, and was heard: once a period is enough.
    halved: bool,
}

impl Window {
    pub fn new(hands: Hands) -> Self {
        Self {
            hands,
            each: hands.first(),
            passed: Duration::ZERO,
            answered: 0,
            unhurried: 0,
            slow: 0,
            full: false,
            halved: false,
        }
    }

    pub fn hands(&self) -> Hands {
        self.hands
    }

    /// Handshakes that may be under way with so many who answer. Nobody to be seen counts as one: a
    /// count may be wrong, and a few handshakes show it.
    pub fn most(&self, hands: u32) -> u32 {
        self.each.saturating_mul(hands.max(1))
    }

    /// So many handshakes were answered after this time.
    pub fn answered(&mut self, many: u32, took: Duration) {
        let add = |count: &mut u32, counts: bool| {
            if counts {
                *count = count.saturating_add(many);
            }
        };
        add(&mut self.answered, true);
        add(&mut self.unhurried, took >= QUICK);
        add(&mut self.slow, took > SLOW);
    }

    /// Somebody found no place.
    pub fn was_full(&mut self) {
        self.full = true;
    }

    /// The stack has said that it is too much. Heard at once, and once a period: what was under way
    /// when the window halved says the same again.
    pub fn pushed_back(&mut self) {
        if !self.halved {
            self.halve();
            self.halved = true;
        }
    }

    /// So much time has passed since this was called last.
    pub fn pass(&mut self, time: Duration) {
        self.passed += time;
        if self.passed < PERIOD {
            return;
        }
        let workers = self.hands == Hands::Workers;
        let more_than_five = |count: u32| u64::from(count) * 20 > u64::from(self.answered);
        // Full and not one answer is the slowest there is.
        let stuck = self.answered == 0 && self.full;
        let slow = workers && (stuck || more_than_five(self.slow));
        let quick = self.answered > 0 && !(workers && more_than_five(self.unhurried));
        if slow && !self.halved {
            self.halve();
        } else if quick && !self.halved && (self.full || self.each < self.hands.first()) {
            // Nobody knows what a window bears that nobody has filled.
            self.each = (self.each + 1).min(MOST);
        }
        *self = Self {
            each: self.each,
            ..Self::new(self.hands)
        };
    }

    fn halve(&mut self) {
        self.each = (self.each / 2).max(1);
    }
}

impl Default for Window {
    fn default() -> Self {
        Self::new(Hands::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUICKLY: Duration = Duration::from_millis(200);
    const SLOWLY: Duration = Duration::from_secs(4);

    /// A period in which somebody waited and so many were answered.
    fn period(window: &mut Window, many: u32, took: Duration) -> u32 {
        window.was_full();
        window.answered(many, took);
        window.pass(PERIOD);
        window.most(1)
    }

    #[test]
    fn it_begins_with_four_for_each_worker_and_sixteen_for_each_replica() {
        assert_eq!(Window::new(Hands::Workers).most(7), 28);
        assert_eq!(Window::new(Hands::Replicas).most(2), 32);
        assert_eq!(Window::new(Hands::Workers).most(0), 4, "a wrong count");
    }

    #[test]
    fn it_grows_by_one_while_answers_are_quick_and_never_beyond_sixteen() {
        let mut window = Window::new(Hands::Workers);
        let sizes: Vec<u32> = (0..14).map(|_| period(&mut window, 10, QUICKLY)).collect();
        assert_eq!(sizes, [5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 16, 16]);
    }

    #[test]
    fn it_halves_when_more_than_five_of_a_hundred_are_slow_and_one_is_the_least() {
        let mut window = Window::new(Hands::Workers);
        window.answered(95, QUICKLY);
        assert_eq!(period(&mut window, 5, SLOWLY), 5, "five are not more");
        window.answered(94, QUICKLY);
        let sizes: Vec<u32> = (0..3).map(|_| period(&mut window, 6, SLOWLY)).collect();
        assert_eq!(sizes, [2, 1, 1]);
    }

    #[test]
    fn between_quick_and_slow_it_stays() {
        let mut window = Window::new(Hands::Workers);
        assert_eq!(period(&mut window, 10, Duration::from_secs(2)), 4);
    }

    #[test]
    fn a_word_that_it_is_too_much_is_heard_at_once_and_once_a_period() {
        let mut window = Window::new(Hands::Workers);
        for _ in 0..50 {
            window.pushed_back();
        }
        assert_eq!(window.most(1), 2);
        assert_eq!(period(&mut window, 10, QUICKLY), 2, "no growth beside it");
        window.pushed_back();
        assert_eq!(window.most(1), 1);
    }

    #[test]
    fn what_nobody_has_filled_does_not_grow_and_what_was_halved_recovers() {
        let mut window = Window::new(Hands::Workers);
        window.answered(10, QUICKLY);
        window.pass(PERIOD);
        assert_eq!(window.most(1), 4);
        window.pushed_back();
        for _ in 0..4 {
            window.answered(1, QUICKLY);
            window.pass(PERIOD);
        }
        assert_eq!(window.most(1), 4);
    }

    #[test]
    fn full_and_no_answer_at_all_is_slow() {
        let mut window = Window::new(Hands::Workers);
        assert_eq!(period(&mut window, 0, SLOWLY), 2);
        window.pass(PERIOD);
        assert_eq!(window.most(1), 2, "nobody came: nothing is known");
    }

    #[test]
    fn a_replica_that_answers_by_itself_may_be_slow() {
        let mut window = Window::new(Hands::Replicas);
        assert_eq!(period(&mut window, 10, SLOWLY), 16);
        window.pushed_back();
        assert_eq!(window.most(1), 8);
        // The period in which it was told does not count.
        assert_eq!(period(&mut window, 10, SLOWLY), 8);
        assert_eq!(period(&mut window, 10, SLOWLY), 9);
    }

    #[test]
    fn only_whole_periods_are_judged() {
        let mut window = Window::new(Hands::Workers);
        window.was_full();
        window.answered(10, QUICKLY);
        for _ in 0..4 {
            window.pass(Duration::from_secs(1));
            assert_eq!(window.most(1), 4);
        }
        window.pass(Duration::from_secs(1));
        assert_eq!(window.most(1), 5);
    }
}
