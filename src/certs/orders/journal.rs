//! How far an order has come, on the disk before the next step is begun.
//!
//! ```text
//! <state>/acme/orders/<base>/<names and directory>/{key.pem,order.json,chain.pem}
//! ```
//!
//! The key is there before the authority hears of it, the URL before anything is made of the order,
//! and the chain until it is installed. A crash costs at most the step that was under way.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tokio::task;
use tracing::warn;

use super::Authorities;
use crate::certs::lineage::Lineage;
use crate::config::model::Directory;
use crate::durable::{keep, kept, set_aside};

const ORDER: &str = "order.json";
const KEY: &str = "key.pem";
const CHAIN: &str = "chain.pem";
/// The ending of a folder whose order is done and that is being removed.
const DONE: &str = "done";

/// The journal of one lineage's orders from one directory.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    lineage: Lineage,
    directory: String,
    authorities: Authorities,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(super) struct Written {
    /// PEM. It may be in a certificate already.
    pub(super) key: Option<String>,
    pub(super) order: Option<String>,
    /// The authority may have been given the key.
    pub(super) finalizing: bool,
    /// PEM, downloaded and not installed.
    pub(super) chain: Option<String>,
    /// The kinds of challenge that failed since the last certificate.
    pub(super) failed: Vec<String>,
    /// Records of the DNS that may still be there, by name and value.
    pub(super) records: Vec<(String, String)>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Entry {
    names: Vec<String>,
    staging: bool,
    directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<String>,
    /// The authority may have been given the key, in this order or one before.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    finalizing: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    records: Vec<(String, String)>,
}

impl Journal {
    pub(super) fn new(
        state_dir: &Path,
        lineage: &Lineage,
        directory: &Directory,
        authorities: &Authorities,
    ) -> Self {
        // Another set of names under the same first one is another order with another key.
        let what = format!("{lineage}\n{}", directory.url);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, what.as_bytes());
        let short: String = digest.as_ref()[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self {
            folder: orders(state_dir).join(lineage.base()).join(short),
            lineage: lineage.clone(),
            directory: directory.url.clone(),
            authorities: authorities.clone(),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether there is something to go on with that needs no new order.
    pub(super) fn resumes(&self) -> bool {
        let written = fs::read_to_string(self.folder.join(ORDER)).ok();
        let entry = written.and_then(|text| serde_json::from_str::<Entry>(&text).ok());
        entry.is_some_and(|entry| entry.order.is_some())
            || self.authorities.remembered(&self.folder).is_some()
            || self.folder.join(CHAIN).exists()
    }

    /// What was written before. A file that means nothing is moved aside, which costs at most an
    /// order.
    pub(super) async fn read(&self) -> io::Result<Written> {
        let this = self.clone();
        let written = on_disk(move || {
            let entry = this.entry()?;
            Ok(Written {
                key: text(&this.folder.join(KEY))?,
                order: entry.order,
                finalizing: entry.finalizing,
                chain: text(&this.folder.join(CHAIN))?,
                failed: entry.failed,
                records: entry.records,
            })
        });
        let mut written = written.await?;
        written.order = written
            .order
            .or_else(|| self.authorities.remembered(&self.folder));
        Ok(written)
    }

    /// Keeps the key that the certificate will be asked for with.
    pub(super) async fn keep_key(&self, pem: String) -> io::Result<()> {
        let this = self.clone();
        on_disk(move || {
            // Who finds the key has to be able to tell what it is for.
            this.change(|_| {})?;
            keep(&this.folder.join(KEY), &pem)
        })
        .await
    }

    /// The authority has made an order.
    ///
    /// # Errors
    /// The disk does not take the URL; this process remembers it as long as it lives.
    pub(super) async fn ordered(&self, url: String) -> io::Result<()> {
        self.authorities.remember(&self.folder, url.clone());
        self.write(move |entry| {
            entry.order = Some(url);
        })
        .await?;
        self.authorities.forget(&self.folder);
        Ok(())
    }

    /// The authority is about to be given the key.
    pub(super) async fn finalizing(&self) -> io::Result<()> {
        self.write(|entry| entry.finalizing = true).await
    }

    pub(super) async fn keep_chain(&self, pem: String) -> io::Result<()> {
        let path = self.folder.join(CHAIN);
        on_disk(move || keep(&path, &pem)).await
    }

    /// The order is of no use any more. Its key stays: it may be in a certificate.
    pub(super) async fn forget_order(&self, failed: &[&str]) -> io::Result<()> {
        self.authorities.forget(&self.folder);
        let failed: Vec<String> = failed.iter().map(ToString::to_string).collect();
        self.write(|entry| {
            entry.order = None;
            if failed.iter().any(|kind| entry.failed.contains(kind)) {
                // Every kind had its turn: the round begins anew.
                entry.failed.clear();
            }
            entry.failed.extend(failed);
        })
        .await
    }

    /// A record is about to be put into the DNS.
    pub(super) async fn publishing(&self, name: String, value: String) -> io::Result<()> {
        self.write(|entry| entry.records.push((name, value))).await
    }

    /// The record is gone from the DNS.
    pub(super) async fn withdrawn(&self, name: String, value: String) -> io::Result<()> {
        self.write(move |entry| {
            entry
                .records
                .retain(|(known, held)| (known, held) != (&name, &value));
        })
        .await
    }

    /// Moves a file that cannot be used out of the way, and says so.
    pub(super) async fn set_chain_aside(&self, reason: &str) -> io::Result<()> {
        let path = self.folder.join(CHAIN);
        let reason = reason.to_owned();
        on_disk(move || put_aside(&path, &reason)).await
    }

    pub(super) async fn set_key_aside(&self, reason: &str) -> io::Result<()> {
        let path = self.folder.join(KEY);
        let reason = reason.to_owned();
        on_disk(move || put_aside(&path, &reason)).await
    }

    /// The pair is installed: nothing of the order is needed any more. Blocking.
    pub(super) fn done(&self) {
        let done = self.folder.with_extension(DONE);
        let removed = remove(&done).and_then(|()| match fs::rename(&self.folder, &done) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => remove(&done),
        });
        if let Err(error) = removed {
            // Installed once more after a restart, which changes nothing.
            warn!(path = %self.folder.display(), %error, "the journal of a finished order stays");
        }
    }

    async fn write(&self, change: impl FnOnce(&mut Entry) + Send + 'static) -> io::Result<()> {
        let this = self.clone();
        on_disk(move || this.change(change)).await
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) -> io::Result<()> {
        let mut entry = self.entry()?;
        change(&mut entry);
        entry.names = self
            .lineage
            .names()
            .iter()
            .map(ToString::to_string)
            .collect();
        entry.staging = self.lineage.is_staging();
        entry.directory.clone_from(&self.directory);
        let text = serde_json::to_string_pretty(&entry).map_err(io::Error::from)?;
        keep(&self.folder.join(ORDER), &text)
    }

    fn entry(&self) -> io::Result<Entry> {
        let path = self.folder.join(ORDER);
        let Some(text) = text(&path)? else {
            return Ok(Entry::default());
        };
        match serde_json::from_str(&text) {
            Ok(entry) => Ok(entry),
            Err(error) => {
                put_aside(&path, &error.to_string())?;
                Ok(Entry::default())
            }
        }
    }
}

/// The lineages whose orders were interrupted and can be gone on with. Blocking.
pub(in crate::certs) fn unfinished(state_dir: &Path) -> Vec<Lineage> {
    let mut found = Vec::new();
    for base in entries(&orders(state_dir)) {
        for folder in entries(&base) {
            if folder.extension().is_some_and(|ending| ending == DONE) {
                // Only its removal was interrupted.
                let _ = remove(&folder);
                continue;
            }
            let written = fs::read_to_string(folder.join(ORDER)).ok();
            let entry = written.and_then(|text| serde_json::from_str::<Entry>(&text).ok());
            let Some(entry) = entry else { continue };
            if entry.order.is_none() && !folder.join(CHAIN).exists() {
                continue;
            }
            let names = entry.names.iter().filter_map(|name| name.parse().ok());
            found.extend(Lineage::new(names, entry.staging));
        }
    }
    found
}

fn orders(state_dir: &Path) -> PathBuf {
    state_dir.join("orders")
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Ok(()) => folder
            .parent()
            .map_or(Ok(()), |above| File::open(above)?.sync_all()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// What the file says. One that is no text is put aside.
fn text(path: &Path) -> io::Result<Option<String>> {
    match kept(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            put_aside(path, &error.to_string())?;
            Ok(None)
        }
        kept => kept,
    }
}

fn put_aside(path: &Path, reason: &str) -> io::Result<()> {
    let aside = set_aside(path)?;
    warn!(
        path = %path.display(),
        moved_to = %aside.display(),
        reason,
        "a file of an order cannot be used; the order begins anew where it has to"
    );
    Ok(())
}

/// The disk may hang, and those who serve must not.
async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(error)),
    }
}

#[cfg(test)]
mod tests;
