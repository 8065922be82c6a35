//! Entries that ship with usher. Each is a file under `config/presets/` that operators can read,
//! copy and override key by key.

use std::cell::RefCell;
use std::sync::Arc;

use super::issue::{Issue, Source};
use super::raw::RawInstance;
use super::reader;

const ALL: [(&str, &str, &str); 1] = [(
    "openslides",
    "config/presets/openslides.toml",
    include_str!("../../config/presets/openslides.toml"),
)];

/// The text of this name, or `None` if there is none.
pub(super) fn source(name: &str) -> Option<Source> {
    let (_, file, text) = ALL.iter().find(|(known, _, _)| *known == name)?;
    Some(Source::new((*file).to_owned(), (*text).to_owned()))
}

/// The entry of this name, or `None` if there is none.
pub(super) fn find(name: &str) -> Option<RawInstance> {
    let source = Arc::new(source(name)?);
    let file = source.name();
    let issues: RefCell<Vec<Issue>> = RefCell::default();
    let preset = reader::parse(&source, &issues).map(|table| table.read(RawInstance::read));
    debug_assert!(issues.borrow().is_empty(), "{file}: {issues:?}");
    preset
}

/// The names there are, for a message about one that is none.
pub(super) fn names() -> String {
    ALL.map(|(name, _, _)| name).join(", ")
}

#[cfg(test)]
mod tests;
