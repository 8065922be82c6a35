//! The operator's command that changes the DNS, for challenges only a record can answer.
//!
//! `<dns-hook…> set|unset _acme-challenge.example.org <value>`: `set` ends when the authority can
//! see the record, `unset` removes that value alone, because two may be asked for under one name.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{self, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;
use tracing::warn;

use crate::names::Hostname;

/// Providers of DNS are slow to show what they were told.
const WITHIN: Duration = Duration::from_secs(120);
/// Of what the command says, for the error.
const SAID_AT_MOST: usize = 1_000;

/// A record in the DNS, for as long as this lives: dropped without more ado, its removal is begun
/// and not waited for.
#[must_use]
#[derive(Debug)]
pub(super) struct Record {
    hook: Arc<[String]>,
    name: String,
    value: String,
    withdrawn: bool,
}

impl Record {
    /// The record for a challenge of this host (RFC 8555 §8.4), not set yet.
    pub(super) fn new(hook: Arc<[String]>, host: &Hostname, value: String) -> Self {
        Self::left(hook, format!("_acme-challenge.{host}"), value)
    }

    pub(super) fn parts(&self) -> (String, String) {
        (self.name.clone(), self.value.clone())
    }

    /// Has the record set. What fails half-way is to be withdrawn as well.
    pub(super) async fn set(&self) -> Result<(), String> {
        self.run("set").await
    }

    /// A record that an earlier life of this program may have left.
    pub(super) fn left(hook: Arc<[String]>, name: String, value: String) -> Self {
        Self {
            hook,
            name,
            value,
            withdrawn: false,
        }
    }

    /// Has the record removed, and says when that fails.
    pub(super) async fn withdraw(mut self) {
        if let Err(reason) = self.run("unset").await {
            warn!(name = %self.name, reason, "the DNS record of a challenge may still be there");
        }
        self.withdrawn = true;
    }

    /// Only names that were parsed and base64url get here, and no shell reads them.
    fn arguments<'a>(&'a self, verb: &'a str) -> impl Iterator<Item = &'a str> {
        let fixed = self.hook.iter().skip(1).map(String::as_str);
        fixed.chain([verb, self.name.as_str(), self.value.as_str()])
    }

    async fn run(&self, verb: &str) -> Result<(), String> {
        let program = self.hook.first().ok_or("no `dns-hook` is configured")?;
        let mut command = Command::new(program);
        command
            .args(self.arguments(verb))
            .env_clear()
            .envs(path())
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command
            .spawn()
            .map_err(|error| format!("{program} cannot be run: {error}"))?;
        let group = child.id();
        let (out, err) = (child.stdout.take(), child.stderr.take());
        let ended = timeout(WITHIN, async {
            tokio::join!(beginning(out), beginning(err), child.wait())
        });
        let Ok((out, err, status)) = ended.await else {
            // What it started would hold on to the DNS as well.
            if let Some(group) = group.and_then(as_pid) {
                let _ = kill_process_group(group, Signal::KILL);
            }
            return Err(format!(
                "`{program} {verb}` did not end within {} s",
                WITHIN.as_secs()
            ));
        };
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!(
                "`{program} {verb}` ended with {status}: {}",
                said(&err, &out)
            )),
            Err(error) => Err(format!("`{program} {verb}` was lost: {error}")),
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(program) = self.hook.first().filter(|_| !self.withdrawn) else {
            return;
        };
        // Nobody is left who could wait: the order was given up, or the program ends.
        let begun = process::Command::new(program)
            .args(self.arguments("unset"))
            .env_clear()
            .envs(path())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match begun {
            Ok(mut child) => {
                thread::spawn(move || child.wait());
            }
            Err(error) => {
                warn!(name = %self.name, %error, "the DNS record of a challenge is still there");
            }
        }
    }
}

/// The environment of the command: secrets in usher's own are none of its business.
fn path() -> Option<(&'static str, OsString)> {
    std::env::var_os("PATH").map(|path| ("PATH", path))
}

fn as_pid(id: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(id).ok()?)
}

/// The beginning of what comes; the rest is read and forgotten, so that nobody waits to write it.
async fn beginning(stream: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut stream) = stream else {
        return kept;
    };
    let mut piece = [0; 1_024];
    while let Ok(length @ 1..) = stream.read(&mut piece).await {
        let room = SAID_AT_MOST - kept.len();
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
    kept
}

fn said(err: &[u8], out: &[u8]) -> String {
    let text = if err.trim_ascii().is_empty() {
        out
    } else {
        err
    };
    let text = String::from_utf8_lossy(text.trim_ascii());
    if text.is_empty() {
        "it said nothing".to_owned()
    } else {
        text.replace(char::is_control, " ")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn script(folder: &Path, text: &str) -> Arc<[String]> {
        let path = folder.join("hook");
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("made executable");
        let log = folder.join("log").to_string_lossy().into_owned();
        Arc::from([path.to_string_lossy().into_owned(), log])
    }

    fn log(folder: &Path) -> String {
        fs::read_to_string(folder.join("log")).unwrap_or_default()
    }

    #[tokio::test]
    async fn the_command_gets_verb_name_and_value_and_nothing_of_the_environment() {
        let folder = tempfile::tempdir().expect("a folder");
        let hook = script(
            folder.path(),
            r#"log="$1"; shift; echo "$@ $(env | grep -vcE '^(PATH|PWD|SHLVL|_|OLDPWD)=')" >> "$log""#,
        );
        let host = "example.org".parse().expect("a name");
        let record = Record::new(hook, &host, "-value_1".into());
        record.set().await.expect("set");
        record.withdraw().await;
        assert_eq!(
            log(folder.path()),
            "set _acme-challenge.example.org -value_1 0\n\
             unset _acme-challenge.example.org -value_1 0\n"
        );
    }

    #[tokio::test]
    async fn a_command_that_fails_is_quoted() {
        let folder = tempfile::tempdir().expect("a folder");
        let hook = script(
            folder.path(),
            r#"echo "$2" >> "$1"; test "$2" = unset || { echo "no such zone" >&2; exit 3; }"#,
        );
        let host = "example.org".parse().expect("a name");
        let record = Record::new(hook, &host, "value".into());
        let why = record.set().await.expect_err("refused");
        record.withdraw().await;
        assert!(why.contains("no such zone") && why.contains('3'), "{why}");
        assert_eq!(log(folder.path()), "set\nunset\n");
    }

    #[tokio::test]
    async fn a_record_that_is_given_up_is_withdrawn_all_the_same() {
        let folder = tempfile::tempdir().expect("a folder");
        let hook = script(folder.path(), r#"echo "$2" >> "$1""#);
        let host = "example.org".parse().expect("a name");
        let record = Record::new(hook, &host, "value".into());
        record.set().await.expect("set");
        drop(record);
        for _ in 0..500 {
            if log(folder.path()) == "set\nunset\n" {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{}", log(folder.path()));
    }

    #[tokio::test]
    async fn a_command_that_is_not_there_is_named() {
        let hook = Arc::from(["/nowhere/hook".to_owned()]);
        let host = "example.org".parse().expect("a name");
        let record = Record::new(hook, &host, "value".into());
        let why = record.set().await.expect_err("refused");
        assert!(why.contains("/nowhere/hook"), "{why}");
    }
}
