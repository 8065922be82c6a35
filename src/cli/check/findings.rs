//! What was found, in the order it was looked for.

use serde::Serialize;

use crate::config::Level;

/// One line of the result.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: &'static str,
    pub(super) text: String,
}

#[derive(Debug, Default)]
pub(super) struct Findings(pub(super) Vec<Finding>);

impl Findings {
    pub(super) fn add(&mut self, level: Level, text: impl Into<String>) {
        self.0.push(Finding {
            level: level.word(),
            text: text.into(),
        });
    }

    /// Something to know, and nothing to mend.
    pub(super) fn note(&mut self, text: String) {
        self.0.push(Finding {
            level: "note",
            text,
        });
    }

    pub(super) fn has_error(&self) -> bool {
        self.0
            .iter()
            .any(|finding| finding.level == Level::Error.word())
    }
}
