//! What a rule of scaling would do with an audience: the production [`decide`](fn@crate::autoscaler::decide)
//! on a clock of its own, against a model of the stack, over synthetic and recorded audiences.
//!
//! ```text
//! Trace ──▶ model::Stack ──Glimpse──▶ Rule ──▶ so many webs and workers ──▶ the model again
//!                └──────▶ Merit: who went unserved, what it cost, who was cut
//! ```
//!
//! The model counts people and does not follow each: a second is a step, and clients, handshakes
//! and requests are amounts. What it takes for granted is in `model`'s constants. It knows nothing
//! of processors that replicas share, of other tenants, and of a database that is slow.

mod merit;
mod model;
mod rule;
mod rules;
mod trace;
mod traces;

use tokio::time::Instant;

pub use self::merit::Merit;
pub use self::model::run;
pub use self::rule::{Glimpse, Rule, Sizes};
pub use self::rules::{Static, Usher};
pub use self::trace::{Expected, Loss, Trace, TraceError};
pub use self::traces::{NAMES, named};

/// More replicas than any trace needs: what goes unserved with so many is nobody's fault.
const PLENTY: u32 = 40;

/// One line of the result.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Row {
    pub trace: String,
    pub seed: u64,
    pub rule: &'static str,
    #[serde(flatten)]
    pub merit: Merit,
}

/// What a rule makes of a trace, less what no rule could serve.
pub fn judge(trace: &Trace, rule: &mut dyn Rule) -> Merit {
    let plenty = run(trace, &mut Static::new(PLENTY));
    run(trace, rule).beyond(&plenty)
}

/// usher without and, where the audience was announced, with its calendar; and as many replicas all
/// the time as the peak needs. `start` may be any moment.
pub fn compare(trace: &Trace, seed: u64, start: Instant) -> Vec<Row> {
    let mut rules: Vec<(&'static str, Box<dyn Rule>)> =
        vec![("usher", Box::new(Usher::new(start)))];
    if !trace.expected.is_empty() {
        let calendar = Usher::with_calendar(start, &trace.expected);
        rules.push(("usher-calendar", Box::new(calendar)));
    }
    rules.push(("static", Box::new(Static::for_peak(trace))));
    let plenty = run(trace, &mut Static::new(PLENTY));
    rules
        .into_iter()
        .map(|(name, mut rule)| Row {
            trace: trace.name.clone(),
            seed,
            rule: name,
            merit: run(trace, &mut *rule).beyond(&plenty),
        })
        .collect()
}
