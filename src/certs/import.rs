//! Taking over the pairs of another folder: acme-companion's, or flat ones.
//!
//! What is taken is checked like everything that is served, and takes the place only of what ends
//! sooner. The other folder is only read.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::disk::{Disk, Found, Lying};
use super::lineage::{Lineage, named_after};
use crate::cause::chain;
use crate::moment;
use crate::names::Domain;

/// What became of one name, or of one pair that has none.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Imported {
    /// The name, or what the pair is called where it lies.
    pub name: String,
    pub outcome: Outcome,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// What was here before is as good or better, or not usher's to replace.
    Kept(String),
    /// It cannot be served, or it could not be written.
    LeftOut(String),
    Taken {
        until: SystemTime,
    },
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, outcome } = self;
        match outcome {
            Outcome::Kept(why) => write!(f, "{name}: kept what is here: {why}"),
            Outcome::LeftOut(why) => write!(f, "{name}: left out: {why}"),
            Outcome::Taken { until } => {
                write!(f, "{name}: taken, ends on {}", moment::text(*until))
            }
        }
    }
}

/// Why nothing is taken at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error("{} holds no pair; name the folder with the files <name>.crt and <name>.key", path.display())]
    Empty { path: PathBuf },
    #[error("cannot read the folder {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is the folder of certificates itself; usher serves what is in it as it is", path.display())]
    Same { path: PathBuf },
}

/// Takes over what is in a folder and better than what is here. Blocking.
///
/// # Errors
/// When the folder cannot be read or holds nothing. What is wrong with one pair is in its outcome
/// and keeps no other from being taken.
pub fn import(from: &Path, into: &Path, now: SystemTime) -> Result<Vec<Imported>, ImportError> {
    let unreadable = |source| ImportError::Read {
        path: from.to_owned(),
        source,
    };
    let real = from.canonicalize().map_err(unreadable)?;
    if into.canonicalize().is_ok_and(|into| into == real) {
        return Err(ImportError::Same { path: real });
    }
    let (source, here) = (Disk::new(from.to_owned()), Disk::new(into.to_owned()));
    let all = source.all().map_err(unreadable)?;
    if all.is_empty() {
        return Err(ImportError::Empty { path: real });
    }
    let mut outcomes = Vec::new();
    for (name, lying) in all {
        outcomes.extend(take(&here, &name, lying, now));
    }
    Ok(outcomes)
}

/// Takes one pair over, for those of its names that have nothing better.
fn take(here: &Disk, under: &str, lying: Lying, now: SystemTime) -> Vec<Imported> {
    let one = |outcome| {
        vec![Imported {
            name: under.to_owned(),
            outcome,
        }]
    };
    let checked = lying.and_then(|files| {
        let checked = files.map(|files| Ok((files.check(None, now)?, files)));
        checked.transpose()
    });
    let (found, files) = match checked {
        Ok(Some(checked)) => checked,
        Ok(None) => return Vec::new(),
        Err(error) => return one(Outcome::LeftOut(chain(&error))),
    };
    let mut likely = named_after(under).into_iter();
    let Some(first) = likely.find(|name| found.pair.covers(name)) else {
        return one(Outcome::LeftOut(format!(
            "its certificate does not name {under}, so that nobody would be served with it"
        )));
    };
    let mut names: BTreeSet<Domain> = found.pair.domains.iter().cloned().collect();
    names.remove(&first);
    let names = std::iter::once(first).chain(names);
    let mut wanted = Vec::new();
    let mut outcomes = Vec::new();
    for name in names {
        match better_here(here, &name, &found, now) {
            Some(why) => outcomes.push(Imported {
                name: name.to_string(),
                outcome: Outcome::Kept(why),
            }),
            None => wanted.push(name),
        }
    }
    let Some(lineage) = Lineage::new(wanted, found.staging) else {
        return outcomes;
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let written = here.write(&lineage, &text(&files.chain), &text(&files.secret));
    let outcome = match written {
        Ok(()) => Outcome::Taken {
            until: found.pair.not_after,
        },
        Err(error) => Outcome::LeftOut(chain(&error)),
    };
    let taken = lineage.names().iter().map(|name| Imported {
        name: name.to_string(),
        outcome: outcome.clone(),
    });
    outcomes.splice(0..0, taken);
    outcomes
}

/// Why what is here for this name stays; `None` when there is nothing or it is worse.
fn better_here(here: &Disk, name: &Domain, other: &Found, now: SystemTime) -> Option<String> {
    let (Domain::Exact(host) | Domain::Below(host)) = name;
    if here.is_foreign(host) {
        return Some(format!("{host}.crt was put there by somebody else"));
    }
    let files = match name {
        Domain::Exact(_) => here.files(host.as_str()),
        Domain::Below(_) => here.wildcard_files(host.as_str()),
    };
    let found = files.ok()??.check(None, now).ok()?;
    let (mine, others) = (found.pair.not_after, other.pair.not_after);
    let better = match (found.staging, other.staging) {
        (true, false) => false,
        (false, true) => true,
        _ => mine >= others,
    };
    (better && found.pair.covers(name)).then(|| match other.staging && !found.staging {
        true => "the other is of a staging authority, which nobody trusts".to_owned(),
        false => format!("it ends on {}, no sooner", moment::text(mine)),
    })
}

#[cfg(test)]
mod tests;
