//! What a page consists of, and what of it is not as it was.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped};
use serde::Serialize;

use crate::control::status::Level;

/// A page in pieces that change one by one.
#[derive(Debug)]
pub(in crate::admin) struct Pieces {
    pub(super) title: String,
    pub(super) level: Level,
    /// By the id of their element, in their order on the page.
    pub(super) fixed: Vec<(&'static str, String)>,
    /// Rows that come, go and change places.
    pub(super) rows: Vec<(String, String)>,
}

/// What is not as it was.
#[derive(Serialize)]
struct Changes<'p> {
    title: &'p str,
    level: Level,
    pieces: BTreeMap<&'p str, &'p str>,
    /// All rows in their order, where that changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<Vec<&'p str>>,
}

impl Pieces {
    fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        let fixed = self.fixed.iter().map(|(id, text)| (*id, text.as_str()));
        let rows = self.rows.iter();
        fixed.chain(rows.map(|(id, text)| (id.as_str(), text.as_str())))
    }

    /// As JSON; without a `before`, everything.
    pub(in crate::admin) fn changes(&self, before: Option<&Self>) -> Vec<u8> {
        let known: BTreeMap<&str, &str> = before.into_iter().flat_map(Self::all).collect();
        let order = |pieces: &Self| -> Vec<String> {
            let rows = pieces.rows.iter();
            rows.map(|(id, _)| id.clone()).collect()
        };
        let moved = before.is_none_or(|before| order(before) != order(self));
        let changes = Changes {
            title: &self.title,
            level: self.level,
            pieces: self
                .all()
                .filter(|(id, text)| known.get(id) != Some(text))
                .collect(),
            rows: moved.then(|| self.rows.iter().map(|(id, _)| id.as_str()).collect()),
        };
        // Texts under texts can be written.
        serde_json::to_vec(&changes).unwrap_or_default()
    }

    pub(super) fn piece(&self, id: &str) -> Markup {
        let found = self.fixed.iter().find(|(known, _)| *known == id);
        PreEscaped(found.map_or_else(String::new, |(_, text)| text.clone()))
    }

    pub(super) fn rows(&self) -> Markup {
        PreEscaped(self.rows.iter().map(|(_, text)| text.as_str()).collect())
    }
}
