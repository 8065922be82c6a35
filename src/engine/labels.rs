//! Labels for usher: the few there are, and those that somebody hopes for.
//!
//! What may be had of a host is in the operator's configuration alone. A container that asks for more
//! by a label is told that it was not heard.

use std::collections::BTreeSet;

use super::clone::{AUTOSCALE, CLONE_OF};

/// What all of them begin with.
const BEGIN: &str = "usher.";
/// Of one stack, so many are told.
const MOST: usize = 8;
const LONGEST: usize = 64;

/// Notes those of a container that mean nothing.
pub(super) fn note_unknown<'k>(
    labels: impl Iterator<Item = &'k String>,
    unknown: &mut BTreeSet<String>,
) {
    let known = |label: &str| matches!(label, AUTOSCALE | CLONE_OF);
    for label in labels.filter(|label| label.starts_with(BEGIN) && !known(label)) {
        if unknown.len() == MOST {
            return;
        }
        let label: String = label.chars().take(LONGEST).collect();
        unknown.insert(label.escape_debug().to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_heard_is_noted_short_and_bounded() {
        let mut unknown = BTreeSet::new();
        let labels = [
            "usher.autoscale",
            "usher.clone-of",
            "com.example.usher.max",
            "usher.max",
        ];
        let labels = labels.map(ToOwned::to_owned);
        note_unknown(labels.iter(), &mut unknown);
        assert_eq!(unknown, BTreeSet::from(["usher.max".to_owned()]));
        let many: Vec<String> = (0..100)
            .map(|number| format!("usher.{number}{}", "x\n".repeat(200)))
            .collect();
        note_unknown(many.iter(), &mut unknown);
        assert_eq!(unknown.len(), MOST);
        assert!(
            unknown
                .iter()
                .all(|label| label.len() <= 2 * LONGEST && !label.contains('\n'))
        );
    }
}
