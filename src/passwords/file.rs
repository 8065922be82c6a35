//! The file: one `NAME:HASH` per line, as `htpasswd` and `usher hash-password NAME` write it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::hash::PasswordHash;

/// A larger file is something else.
const LARGEST: u64 = 1 << 20;

/// Why a file of passwords opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the file of passwords cannot be read")]
    Io(#[from] io::Error),
    /// Never repeats the line: it may hold a password in the clear.
    #[error("line {line} of the file of passwords {why}")]
    Line { line: usize, why: String },
    #[error("the file of passwords is no file")]
    NoFile,
    #[error("the file of passwords is larger than 1 MiB")]
    TooLarge,
}

/// Everybody who may come in.
#[derive(Default)]
pub(super) struct Entries(HashMap<String, PasswordHash>);

impl Entries {
    /// Blocking.
    ///
    /// # Errors
    /// One wrong line is enough: who is meant to be let in, or no longer, would otherwise depend on
    /// a slip of the pen.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let mut text = String::new();
        let read = File::open(path)?
            .take(LARGEST + 1)
            .read_to_string(&mut text)?;
        if read as u64 > LARGEST {
            return Err(FileError::TooLarge);
        }
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self, FileError> {
        let mut entries = HashMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let wrong = |why: String| FileError::Line { line, why };
            let (name, hash) = content
                .split_once(':')
                .ok_or_else(|| wrong("is not NAME:HASH".to_owned()))?;
            let hash = PasswordHash::parse(hash).map_err(wrong)?;
            // The first counts, as it does for nginx and Apache.
            entries.entry(name.to_owned()).or_insert(hash);
        }
        Ok(Self(entries))
    }

    pub(super) fn hash(&self, name: &str) -> Option<&PasswordHash> {
        self.0.get(name)
    }

    /// Somebody's, to spend on a name that nobody has the time that one which somebody has takes.
    pub(super) fn any(&self) -> Option<&PasswordHash> {
        self.0.values().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_line_spoils_the_file_and_is_not_repeated() {
        let good = "# the backup\n\nadmin:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n";
        let entries = Entries::parse(good).expect("good");
        assert!(entries.hash("admin").is_some() && entries.hash("Admin").is_none());
        for (line, says) in [
            ("secret", "line 4 of the file of passwords is not NAME:HASH"),
            ("admin:secret", "line 4 of the file of passwords has a hash"),
        ] {
            let error = Entries::parse(&format!("{good}{line}\n")).err();
            let text = error.expect("wrong").to_string();
            assert!(text.starts_with(says) && !text.contains("secret"), "{text}");
        }
    }
}
