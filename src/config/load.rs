//! Reads the files, and makes a configuration of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::assembly::{Assembled, assemble};
use super::global::{self, below, made};
use super::issue::{Issue, Issues, Level, Source, report};
use super::lower::admin::CONTROL_SOCKET;
use super::model::NamesFromContainers;
use super::mounted::Mounted;
use super::raw::{RawFile, RawInstances, read_instances};
use super::reader;
use super::whole::{Asked, Config};
use crate::fingerprint::Fingerprint;
use crate::names::InstanceName;

/// What a look at the files gave.
#[derive(Debug)]
pub struct Loaded {
    /// `None` when the main file cannot be applied: then nothing changes.
    pub config: Option<Config>,
    /// Everything that is wrong, the file order kept.
    pub issues: Vec<Issue>,
    /// Instances that were rejected and keep the form they had.
    pub kept: BTreeSet<InstanceName>,
    /// Every file that was looked at, as it was then.
    pub seen: Fingerprint,
}

/// Reads `path` and what it includes. `previous` supplies the last good form of instances that are
/// wrong now, and what the command line said.
pub fn load(path: &Path, previous: Option<&Config>) -> Loaded {
    let asked = previous.and_then(|config| config.asked.clone());
    load_as(path, asked, previous)
}

/// As [`load`]. `asked` is what is said outside of every file: it holds where the file says nothing,
/// and no file is needed then.
pub fn load_as(path: &Path, asked: Option<Asked>, previous: Option<&Config>) -> Loaded {
    let issues = Issues::default();
    let mut seen = Fingerprint::default();
    // A file that was there and is not any more is a mistake.
    let needless = asked.is_some() && previous.is_none_or(|config| config.without_file);
    let without_file = needless && !path.exists();
    let read = if without_file {
        seen.note(path);
        Some((made("the defaults", "", &issues), Vec::new(), Vec::new()))
    } else {
        read_all(path, &issues, &mut seen)
    };
    let Some((file, instances, unreadable)) = read else {
        return Loaded {
            config: None,
            issues: issues.into_inner(),
            kept: BTreeSet::new(),
            seen,
        };
    };
    let file = match &asked {
        Some(asked) => file.over(below(asked, &issues)),
        None => file,
    };
    let mut config = global::lower(file, asked, &issues);
    config.without_file = without_file;
    if config.names_from_containers != NamesFromContainers::Off {
        config.mounted = Arc::new(Mounted::read(
            &config.compat,
            &config.certs.dir,
            previous.map(|config| &*config.mounted),
            &mut issues.borrow_mut(),
            &mut seen,
        ));
    }
    let global_is_good = issues
        .borrow()
        .iter()
        .all(|issue| issue.level != Level::Error)
        || only_includes_failed(&issues, &unreadable);

    let Assembled {
        config,
        kept,
        issues: of_instances,
    } = assemble(config, instances, &unreadable, previous);
    let mut issues = issues.into_inner();
    issues.extend(of_instances);
    dedup(&mut issues);
    Loaded {
        config: global_is_good.then_some(config),
        issues,
        kept,
        seen,
    }
}

/// The control socket that a configuration names, however wrong the rest of it is: who has just
/// broken the file still asks the usher that runs by it.
pub fn control_socket(path: &Path) -> PathBuf {
    let text = fs::read_to_string(path).unwrap_or_default();
    let named = reader::peek(&text, "admin", "socket");
    PathBuf::from(named.as_deref().unwrap_or(CONTROL_SOCKET))
}

/// The same complaint can reach an instance through several layers.
fn dedup(issues: &mut Vec<Issue>) {
    let mut seen = BTreeSet::new();
    issues.retain(|issue| seen.insert(issue.to_string()));
}

type ReadFiles = (RawFile, RawInstances, Vec<String>);

/// The main file, all instances, and the included files that could not be read.
fn read_all(path: &Path, issues: &Issues, seen: &mut Fingerprint) -> Option<ReadFiles> {
    seen.note(path);
    let mut main = parse_file(path, issues, RawFile::read)?;
    let mut instances = std::mem::take(&mut main.instances);
    let mut unreadable = Vec::new();
    for pattern in main.include.iter().flat_map(|field| &field.value) {
        let included = match included(pattern) {
            Ok(included) => included,
            Err(why) => {
                if let Some(field) = &main.include {
                    report(issues, field.at.error(format!("`{pattern}` {why}")));
                }
                continue;
            }
        };
        for file in included {
            seen.note(&file);
            match parse_file(&file, issues, read_instances) {
                Some(found) => instances.extend(found),
                None => unreadable.push(file.display().to_string()),
            }
        }
    }
    for (raw, issues) in &mut instances {
        raw.read_files(issues, seen);
    }
    Some((main, instances, unreadable))
}

fn parse_file<T>(
    path: &Path,
    issues: &Issues,
    read: impl FnOnce(&mut reader::Reader<'_, '_>) -> T,
) -> Option<T> {
    let name = path.display().to_string();
    match fs::read_to_string(path) {
        Ok(text) => {
            let source = Arc::new(Source::new(name, text));
            reader::parse(&source, issues).map(|table| table.read(read))
        }
        Err(error) => {
            report(
                issues,
                Issue::of_file(&name, format!("cannot be read: {error}")),
            );
            None
        }
    }
}

/// An included file that does not parse costs its own instances and nothing else.
fn only_includes_failed(issues: &Issues, unreadable: &[String]) -> bool {
    issues
        .borrow()
        .iter()
        .filter(|issue| issue.level == Level::Error)
        .all(|issue| unreadable.contains(&issue.file))
}

/// The files an `include` pattern names, in the order of their names.
pub(super) fn included(pattern: &str) -> Result<Vec<PathBuf>, String> {
    let paths =
        glob::glob(pattern).map_err(|error| format!("is no file pattern: {}", error.msg))?;
    let mut files = paths
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("cannot be listed: {error}"))?;
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests;
