//! Follows the files: a change is read, judged and applied, or refused with the reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;
use tracing::{error, info, warn};

use super::issue::{Issue, Level};
use super::load::{Loaded, load};
use super::model::NamesFromContainers;
use super::whole::Config;
use crate::fingerprint::Fingerprint;
use crate::shutdown::Shutdown;

/// How often the files are looked at. Asking works on every file system and through every bind
/// mount, which notifications do not.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What is in force, and what the files say about it.
#[derive(Clone, Debug)]
pub struct Current {
    pub config: Arc<Config>,
    /// Everything wrong with what the files say now.
    pub issues: Arc<[Issue]>,
    /// Whether the files, as they are now, are what is in force.
    pub last_reload: Result<(), String>,
}

/// A wish to read the files now.
#[derive(Debug)]
pub struct Reload {
    /// Apply even what would stop serving most names.
    pub force: bool,
    pub reply: oneshot::Sender<Outcome>,
}

/// What a reload did, in sentences for the operator.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub applied: bool,
    pub lines: Vec<String>,
}

/// Reads again on every request and on every change, until shutdown.
pub async fn follow(
    path: PathBuf,
    mut seen: Fingerprint,
    current: watch::Sender<Current>,
    mut requests: mpsc::Receiver<Reload>,
    mut shutdown: Shutdown,
) {
    // A change counts once it has held still for one look: editors and `scp` write in steps.
    let mut moving = None;
    loop {
        let request = tokio::select! {
            biased;
            () = shutdown.begun() => return,
            Some(request) = requests.recv() => Some(request),
            () = sleep(LOOK_EVERY) => None,
        };
        let now = seen.now();
        if request.is_none() {
            if now == seen {
                moving = None;
                continue;
            }
            if moving.as_ref() != Some(&now) {
                moving = Some(now);
                continue;
            }
        }
        moving = None;
        let force = request.as_ref().is_some_and(|request| request.force);
        let before = Arc::clone(&current.borrow().config);
        let loaded = {
            let (path, before) = (path.clone(), Arc::clone(&before));
            tokio::task::spawn_blocking(move || load(&path, Some(&before))).await
        };
        let Ok(loaded) = loaded else {
            error!(reason = "reading panicked", "configuration not reloaded");
            continue;
        };
        seen = loaded.seen.clone();
        let outcome = apply(&current, &before, loaded, force);
        if let Some(request) = request {
            // Whoever asked may have gone.
            let _ = request.reply.send(outcome);
        }
    }
}

fn apply(
    current: &watch::Sender<Current>,
    before: &Arc<Config>,
    loaded: Loaded,
    force: bool,
) -> Outcome {
    let Loaded {
        config,
        issues,
        kept,
        seen: _,
    } = loaded;
    let mut lines: Vec<String> = Vec::new();
    for issue in &issues {
        lines.push(format!("{}: {issue}", issue.level.word()));
        match issue.level {
            Level::Error => error!(reason = %issue, "configuration"),
            Level::Warning => warn!(reason = %issue, "configuration"),
        }
    }
    let refused = match &config {
        None => Some("the file has errors; what was in force stays in force".to_owned()),
        Some(config) if !force => loses_most(before, config),
        Some(_) => None,
    };
    let issues: Arc<[Issue]> = issues.into();
    if let Some(why) = refused {
        error!(reason = %why, "configuration not reloaded");
        lines.push(format!("nothing changed: {why}"));
        current.send_modify(|current| {
            current.issues = issues;
            current.last_reload = Err(why);
        });
        return Outcome {
            applied: false,
            lines,
        };
    }
    let Some(config) = config else {
        return Outcome {
            applied: false,
            lines,
        };
    };
    let changes = changes(before, &config);
    for name in &kept {
        lines.push(format!("instance {name}: keeps its last good form"));
    }
    if changes.is_empty() {
        lines.push("nothing changed: the file says what is in force".to_owned());
    }
    for change in &changes {
        info!(%change, "configuration changed");
    }
    lines.extend(changes);
    let last_reload = if kept.is_empty() {
        Ok(())
    } else {
        Err(format!(
            "{} instances keep their last good form",
            kept.len()
        ))
    };
    current.send_replace(Current {
        config: Arc::new(config),
        issues,
        last_reload,
    });
    Outcome {
        applied: true,
        lines,
    }
}

/// Why a reload looks like an accident: it takes away more than half of the names, and at least
/// four.
fn loses_most(before: &Config, after: &Config) -> Option<String> {
    let served = before.served_names();
    let lost = served.difference(&after.served_names()).count();
    (lost >= 4 && lost * 2 > served.len()).then(|| {
        format!(
            "it would stop serving {lost} of {} names; `usher reload --force` does it all the same",
            served.len()
        )
    })
}

/// What differs, one line each.
fn changes(before: &Config, after: &Config) -> Vec<String> {
    let mut lines = Vec::new();
    for name in before.instances.keys() {
        if !after.instances.contains_key(name) {
            lines.push(format!("instance {name}: removed"));
        }
    }
    for (name, instance) in &after.instances {
        match before.instances.get(name) {
            None => lines.push(format!("instance {name}: added")),
            Some(old) if !Arc::ptr_eq(old, instance) => {
                lines.push(format!("instance {name}: changed"));
            }
            Some(_) => {}
        }
    }
    if before.patterns.len() != after.patterns.len() {
        lines.push("entries for many stacks: changed".to_owned());
    }
    let fixed = [
        ("listen.http", before.listen.http != after.listen.http),
        ("listen.https", before.listen.https != after.listen.https),
        ("listen.http2", before.listen.http2 != after.listen.http2),
        (
            "listen.max-connections",
            before.listen.max_connections != after.listen.max_connections,
        ),
        ("admin", before.admin != after.admin),
        ("engine", before.engine != after.engine),
        ("certs", before.certs != after.certs),
        ("log", before.log != after.log),
        ("state.dir", before.state_dir != after.state_dir),
    ];
    let names = (before.names_from_containers, after.names_from_containers);
    let reads = |names| names != NamesFromContainers::Off;
    let names_key = "engine.names-from-containers";
    let fixed = fixed
        .into_iter()
        .chain([(names_key, reads(names.0) != reads(names.1))]);
    for (key, differs) in fixed {
        if differs {
            lines.push(format!("{key}: changed; takes effect at the next start"));
        }
    }
    let live = [
        (
            "listen.trusted-proxies",
            before.listen.trusted_proxies != after.listen.trusted_proxies,
        ),
        (
            "listen.proxy-protocol",
            before.listen.proxy_protocol != after.listen.proxy_protocol,
        ),
        (
            "listen.default-host",
            before.listen.default_host != after.listen.default_host,
        ),
        ("acme", before.acme != after.acme),
        ("compat", before.compat != after.compat),
        (
            "files mounted for nginx-proxy",
            before.mounted != after.mounted,
        ),
        ("status", before.thresholds != after.thresholds),
        ("stop.within", before.stop_within != after.stop_within),
        (
            "limits.header-timeout",
            before.header_timeout != after.header_timeout,
        ),
    ];
    let listed = names.0 != names.1 && reads(names.0) == reads(names.1);
    for (key, differs) in live.into_iter().chain([(names_key, listed)]) {
        if differs {
            lines.push(format!("{key}: changed"));
        }
    }
    lines
}

#[cfg(test)]
mod tests;
