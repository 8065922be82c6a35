//! Reads tables key by key, and knows which keys nobody asked for.
//!
//! serde alone stops at the first mistake of a table. Here every value is deserialised by itself,
//! so that one pass finds every mistake and each carries its file, line and key.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

pub(super) use toml::value::{Datetime, Offset};

use super::issue::{At, Issue, Source, join};

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(super) struct Field<T> {
    pub(super) value: T,
    pub(super) at: At,
}

/// A value where the file says one.
pub(super) type Leaf<T> = Option<Field<T>>;

struct Entry<'i> {
    key: String,
    offset: usize,
    value: Spanned<DeValue<'i>>,
}

/// One table that is being read.
pub(super) struct Reader<'i, 'n> {
    at: At,
    /// The same for every table of one shape, whatever its name: `instance.service`.
    shape: String,
    entries: Vec<Entry<'i>>,
    known: Vec<&'static str>,
    issues: &'n RefCell<Vec<Issue>>,
}

/// Parses a whole file. With any syntax error the file is not read further: what follows a missing
/// quote means nothing.
pub(super) fn parse<'i, 'n>(
    source: &'i Arc<Source>,
    issues: &'n RefCell<Vec<Issue>>,
) -> Option<Reader<'i, 'n>> {
    let root = At {
        source: Arc::clone(source),
        offset: 0,
        key: String::new(),
    };
    let (table, errors) = DeTable::parse_recoverable(source.text());
    if errors.is_empty() {
        return Some(Reader::new(root, String::new(), table.into_inner(), issues));
    }
    for error in errors {
        let at = At {
            offset: error.span().map_or(0, |span| span.start),
            ..root.clone()
        };
        issues
            .borrow_mut()
            .push(at.error(format!("is not valid TOML: {}", error.message())));
    }
    None
}

/// One string of a text that may have mistakes elsewhere.
pub(super) fn peek(text: &str, table: &str, key: &str) -> Option<String> {
    let (root, _mistakes) = DeTable::parse_recoverable(text);
    let DeValue::Table(table) = root.get_ref().get(table)?.get_ref() else {
        return None;
    };
    match table.get(key)?.get_ref() {
        DeValue::String(value) => Some(value.to_string()),
        _ => None,
    }
}

/// A key as it was written, whatever it means.
#[derive(Clone, Debug)]
pub(super) struct Written {
    pub(super) key: String,
    pub(super) line: usize,
    pub(super) said: Said,
}

#[derive(Clone, Debug)]
pub(super) enum Said {
    Plain {
        /// The value, as TOML writes it on one line.
        text: String,
        /// The string or strings that it consists of.
        words: Vec<String>,
    },
    Table(Vec<Written>),
    Tables(Vec<Vec<Written>>),
}

/// Everything a text says, in its order; nothing where it is not valid TOML.
pub(super) fn outline(source: &Source) -> Vec<Written> {
    let (table, errors) = DeTable::parse_recoverable(source.text());
    if !errors.is_empty() {
        return Vec::new();
    }
    outline_of(table.into_inner(), source)
}

fn outline_of(table: DeTable<'_>, source: &Source) -> Vec<Written> {
    let written = |(key, value): (Spanned<Cow<'_, str>>, Spanned<DeValue<'_>>)| Written {
        line: source.line(key.span().start),
        key: key.into_inner().into_owned(),
        said: said(value, source),
    };
    table.into_iter().map(written).collect()
}

fn said(value: Spanned<DeValue<'_>>, source: &Source) -> Said {
    let is_table = |item: &Spanned<DeValue<'_>>| matches!(item.get_ref(), DeValue::Table(_));
    match value.get_ref() {
        DeValue::Table(_) => {}
        DeValue::Array(items) if !items.is_empty() && items.iter().all(is_table) => {}
        _ => {
            let words = match value.get_ref() {
                DeValue::Array(items) => items.iter().filter_map(word).collect(),
                _ => word(&value).into_iter().collect(),
            };
            let plain = toml::Value::deserialize(ValueDeserializer::from(value));
            let text = plain.map(|value| value.to_string()).unwrap_or_default();
            return Said::Plain { text, words };
        }
    }
    match value.into_inner() {
        DeValue::Table(table) => Said::Table(outline_of(table, source)),
        DeValue::Array(items) => {
            let tables = items
                .into_iter()
                .filter_map(|item| match item.into_inner() {
                    DeValue::Table(table) => Some(outline_of(table, source)),
                    _ => None,
                });
            Said::Tables(tables.collect())
        }
        _ => unreachable!("the others were plain"),
    }
}

fn word(value: &Spanned<DeValue<'_>>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) => Some(text.to_string()),
        _ => None,
    }
}

impl<'i, 'n> Reader<'i, 'n> {
    fn new(at: At, shape: String, table: DeTable<'i>, issues: &'n RefCell<Vec<Issue>>) -> Self {
        let entries = table
            .into_iter()
            .map(|(key, value)| Entry {
                offset: key.span().start,
                key: key.into_inner().into_owned(),
                value,
            })
            .collect();
        Self {
            at,
            shape,
            entries,
            known: Vec::new(),
            issues,
        }
    }

    /// Where the table begins.
    pub(super) fn at(&self) -> &At {
        &self.at
    }

    /// Says how the table is called in messages from here on.
    pub(super) fn rename(&mut self, key: String) {
        self.at.key = key;
    }

    fn take(&mut self, key: &'static str) -> Option<(At, Spanned<DeValue<'i>>)> {
        self.known.push(key);
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        let entry = self.entries.remove(index);
        let at = At {
            offset: entry.offset,
            ..self.at.below(key)
        };
        Some((at, entry.value))
    }

    /// A value. A wrong type is an issue and reads as absent.
    pub(super) fn leaf<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Field<T>> {
        let (at, value) = self.take(key)?;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Field { value, at }),
            Err(error) => {
                self.report(at.error(error.message()));
                None
            }
        }
    }

    /// A table that is there once or not at all; absent reads as empty.
    pub(super) fn table<T: Default>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        self.optional_table(key, read).unwrap_or_default()
    }

    /// A table whose presence means something.
    pub(super) fn optional_table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let (at, value) = self.take(key)?;
        self.enter(at, key, value).map(|table| table.read(read))
    }

    /// Reads the whole table: what `read` does not ask for is an issue.
    pub(super) fn read<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let value = read(&mut self);
        self.finish();
        value
    }

    /// An array of tables.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Vec<T> {
        let issues = self.issues;
        let mut found = Vec::new();
        for (at, table) in self.take_tables(key) {
            let reader = Self::new(at, join(&self.shape, key), table, issues);
            found.push(reader.read(&mut read));
        }
        found
    }

    /// An array of tables whose issues are their own: one that is wrong does not touch the others.
    pub(super) fn tables_apart<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Reader<'i, '_>) -> T,
    ) -> Vec<(T, Vec<Issue>)> {
        let mut found = Vec::new();
        for (at, table) in self.take_tables(key) {
            let issues = RefCell::default();
            let reader = Reader::new(at, join(&self.shape, key), table, &issues);
            let value = reader.read(&mut read);
            found.push((value, issues.into_inner()));
        }
        found
    }

    fn take_tables(&mut self, key: &'static str) -> Vec<(At, DeTable<'i>)> {
        let Some((at, value)) = self.take(key) else {
            return Vec::new();
        };
        let DeValue::Array(items) = value.into_inner() else {
            self.report(at.error(format!("is a list of tables; write `[[{}]]`", at.key)));
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            let at = At {
                offset: item.span().start,
                ..at.clone()
            };
            if let DeValue::Table(table) = item.into_inner() {
                tables.push((at, table));
            } else {
                self.report(at.error(format!("is a list of tables; write `[[{}]]`", at.key)));
            }
        }
        tables
    }

    /// A table of tables with names of the operator's choice.
    pub(super) fn named<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Vec<(Field<String>, T)> {
        let shape = join(&self.shape, key);
        let Some(parent) = self
            .take(key)
            .and_then(|(at, value)| self.enter(at, key, value))
        else {
            return Vec::new();
        };
        let mut found = Vec::new();
        for entry in parent.entries {
            let at = At {
                offset: entry.offset,
                ..parent.at.below(&entry.key)
            };
            if let DeValue::Table(table) = entry.value.into_inner() {
                let reader = Reader::new(at.clone(), shape.clone(), table, self.issues);
                found.push((
                    Field {
                        value: entry.key,
                        at,
                    },
                    reader.read(&mut read),
                ));
            } else {
                self.report(at.error(format!("is a table; write `[{}]`", at.key)));
            }
        }
        found
    }

    fn enter(&self, at: At, key: &'static str, value: Spanned<DeValue<'i>>) -> Option<Self> {
        if let DeValue::Table(table) = value.into_inner() {
            let shape = join(&self.shape, key);
            return Some(Self::new(at, shape, table, self.issues));
        }
        self.report(at.error(format!("is a table; write `[{}]`", at.key)));
        None
    }

    fn finish(self) {
        for entry in &self.entries {
            let at = At {
                offset: entry.offset,
                ..self.at.below(&entry.key)
            };
            let text = if LATER.contains(&join(&self.shape, &entry.key).as_str()) {
                concat!(
                    "is not supported by usher ",
                    env!("CARGO_PKG_VERSION"),
                    "; remove it"
                )
                .to_owned()
            } else {
                unknown(&entry.key, &self.known)
            };
            self.report(at.error(text));
        }
    }

    fn report(&self, issue: Issue) {
        self.issues.borrow_mut().push(issue);
    }
}

fn unknown(key: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(key, candidate), candidate))
        .min();
    match nearest {
        Some((distance, candidate)) if distance <= candidate.len().div_ceil(3) => {
            format!("is an unknown key; did you mean `{candidate}`?")
        }
        _ => format!("is an unknown key; known here: {}", known.join(", ")),
    }
}

/// Keys that are promised for a later version. Accepting them without applying them would let an
/// operator believe in a protection that is not there.
const LATER: [&str; 3] = [
    "engine.tls",
    "instance.limits.shared-addresses",
    "limits.shared-addresses",
];
