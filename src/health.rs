//! From single probe outcomes to a verdict that does not flap.

/// How many failures in a row make a ready replica unhealthy.
const FAILURES: u32 = 3;
/// How many successes in a row make it ready again.
const SUCCESSES: u32 = 2;

/// What the probes of one replica have shown.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Health {
    verdict: Verdict,
    /// Outcomes in a row that speak against the verdict.
    against: u32,
    /// Why the last probe failed, if it did.
    last_failure: Option<String>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Has not answered yet.
    Unproven,
    Healthy,
    Unhealthy,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            verdict: Verdict::Unproven,
            against: 0,
            last_failure: None,
        }
    }
}

impl Health {
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Why the last probe failed, as a sentence without a full stop.
    pub fn last_failure(&self) -> Option<&str> {
        self.last_failure.as_deref()
    }

    /// Takes one outcome in. A newcomer's first success is enough: it has to serve at once.
    pub fn observe(&mut self, outcome: Result<(), String>) {
        let success = outcome.is_ok();
        self.last_failure = outcome.err();
        let (agrees, needed, other) = match self.verdict {
            Verdict::Unproven => (!success, 1, Verdict::Healthy),
            Verdict::Healthy => (success, FAILURES, Verdict::Unhealthy),
            Verdict::Unhealthy => (!success, SUCCESSES, Verdict::Healthy),
        };
        if agrees {
            self.against = 0;
            return;
        }
        self.against += 1;
        if self.against >= needed {
            self.verdict = other;
            self.against = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(outcomes: &str) -> Verdict {
        let mut health = Health::default();
        for outcome in outcomes.chars() {
            health.observe(if outcome == '+' {
                Ok(())
            } else {
                Err("refused".into())
            });
        }
        health.verdict()
    }

    #[test]
    fn the_first_answer_makes_a_newcomer_ready() {
        assert_eq!(after(""), Verdict::Unproven);
        assert_eq!(after("-----"), Verdict::Unproven);
        assert_eq!(after("---+"), Verdict::Healthy);
    }

    #[test]
    fn a_single_failure_changes_nothing() {
        assert_eq!(after("+--+--+--"), Verdict::Healthy);
        assert_eq!(after("+---"), Verdict::Unhealthy);
    }

    #[test]
    fn it_takes_two_answers_to_come_back() {
        assert_eq!(after("+---+"), Verdict::Unhealthy);
        assert_eq!(after("+---+-+"), Verdict::Unhealthy);
        assert_eq!(after("+---++"), Verdict::Healthy);
    }
}
