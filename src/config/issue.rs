//! What is wrong with a configuration: the thing, the place and the remedy.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

/// A configuration file, kept to turn offsets into lines.
#[derive(Debug)]
pub(super) struct Source {
    name: String,
    text: String,
}

impl Source {
    pub(super) fn new(name: String, text: String) -> Self {
        Self { name, text }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.get(..offset).unwrap_or(&self.text);
        before.bytes().filter(|b| *b == b'\n').count() + 1
    }
}

/// A key in a file.
#[derive(Clone, Debug)]
pub(super) struct At {
    pub(super) source: Arc<Source>,
    pub(super) offset: usize,
    /// As an operator would say it: `instance.congress.scale.max`.
    pub(super) key: String,
}

impl At {
    pub(super) fn error(&self, text: impl Into<String>) -> Issue {
        Issue {
            level: Level::Error,
            file: self.source.name.clone(),
            line: Some(self.source.line(self.offset)),
            key: self.key.clone(),
            text: text.into(),
        }
    }

    pub(super) fn warning(&self, text: impl Into<String>) -> Issue {
        Issue {
            level: Level::Warning,
            ..self.error(text)
        }
    }

    /// The same place with a longer key.
    pub(super) fn below(&self, key: &str) -> Self {
        Self {
            key: join(&self.key, key),
            ..self.clone()
        }
    }
}

pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

/// Whether an issue keeps its instance, or the whole file, from being applied.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Level {
    Error,
    Warning,
}

impl Level {
    pub fn word(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Issue {
    pub level: Level,
    pub file: String,
    /// `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// Empty where no key is meant.
    pub key: String,
    pub text: String,
}

impl Issue {
    /// An error that concerns a file and no line of it.
    pub(super) fn of_file(file: &str, text: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            file: file.to_owned(),
            line: None,
            key: String::new(),
            text: text.into(),
        }
    }
}

/// Where issues go while files are read.
pub(super) type Issues = RefCell<Vec<Issue>>;

pub(super) fn report(issues: &Issues, issue: Issue) {
    issues.borrow_mut().push(issue);
}

/// `file:line: key: text`, as compilers write it, so that editors can jump to it.
impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.text)
    }
}
