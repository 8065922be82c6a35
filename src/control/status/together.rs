//! Services of one stack that must not run at the same time.

use super::finding::{Finding, Level};
use crate::inventory::Stack;

/// The standby of a database, and the database it was made to take the place of: when both take
/// writes, what one of them takes is lost.
const NEVER_TOGETHER: [(&str, &str); 1] = [("postgres", "pg-slave")];

/// Which two run and should not.
pub(super) fn judge_together(stack: &Stack) -> Finding {
    let runs = |name: &str| {
        let units = stack
            .services
            .iter()
            .find(|(known, _)| known.as_str() == name);
        units.is_some_and(|(_, units)| units.iter().any(|unit| unit.phase.is_alive()))
    };
    let (one, other) = NEVER_TOGETHER
        .iter()
        .find(|(one, other)| runs(one) && runs(other))?;
    let text =
        format!("{one} and {other} run at the same time; stop one of them before data is lost");
    Some((Level::Critical, text))
}
