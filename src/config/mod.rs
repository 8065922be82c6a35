//! The operator's wishes, read from TOML.
//!
//! Two kinds of types: `raw` is what the files say, [`model`] what the program believes. Reading
//! reports every mistake with file, line and key. The global part applies whole or not at all; each
//! instance is accepted or rejected alone, and a rejected one keeps its last good form.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod acme;
mod admin;
mod alert;
mod assembly;
pub mod claimed;
mod claims;
mod client_ca;
mod error_page;
mod event;
mod filters;
mod global;
mod instance;
mod issue;
mod lower;
pub mod model;
pub mod mounted;
mod no_route;
mod pattern;
mod policy;
mod presets;
mod raw;
mod reader;
mod rental;
mod route;
mod service;
mod shown;
pub mod tokens;
mod units;
mod upstream_tls;
pub mod variables;
pub mod watch;
mod whole;

pub use self::issue::{Issue, Level};
pub use self::model::Instance;
pub use self::pattern::Pattern;
pub use self::shown::{Shown, Value, show};
pub use self::units::{format_span, parse_span};
pub use self::whole::{Asked, Config};

use self::assembly::{Assembled, assemble};
use self::global::{STOP_WITHIN, included};
use self::issue::{Issues, Source, report};
use self::model::NamesFromContainers;
use self::mounted::Mounted;
use self::raw::{RawFile, RawHttps, RawInstance, RawInstances};
use self::variables::Layer;
use self::whole::Defaults;
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

/// What holds below the file where the command line says that containers name themselves: who asks for
/// a certificate gets one.
const IN_ITS_PLACE: &str = "[acme]\n";

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
    let mut config = lower_global(file, asked, &issues);
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

/// What the variables of the process are called in messages.
const ENVIRONMENT: &str = "the environment";

/// The layers below the file.
fn below(asked: &Asked, issues: &Issues) -> RawFile {
    let variables = made(ENVIRONMENT, &asked.variables.globals, issues);
    match asked.names {
        NamesFromContainers::Off => variables,
        NamesFromContainers::Listed | NamesFromContainers::Open => {
            variables.over(made("the defaults", IN_ITS_PLACE, issues))
        }
    }
}

/// What a text says that was made here.
fn made(name: &str, text: &str, issues: &Issues) -> RawFile {
    let source = Arc::new(Source::new(name.to_owned(), text.to_owned()));
    let table = reader::parse(&source, issues).unwrap_or_else(|| unreachable!("it was made here"));
    table.read(RawFile::read)
}

/// The layer below every instance.
fn below_instances(layer: &Layer, issues: &Issues) -> RawInstance {
    let text = layer.instances.clone();
    let source = Arc::new(Source::new(ENVIRONMENT.to_owned(), text));
    let table = reader::parse(&source, issues).unwrap_or_else(|| unreachable!("it was made here"));
    let read = table.read(RawInstance::read);
    RawInstance {
        hsts_of_variables: read.hsts,
        hsts: None,
        https: read.https.map(RawHttps::of_variables),
        ..read
    }
}

/// Where the control socket is unless the configuration says otherwise.
const CONTROL_SOCKET: &str = "/run/usher/control.sock";

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
            match parse_file(&file, issues, raw::read_instances) {
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

fn lower_global(file: RawFile, asked: Option<Asked>, issues: &Issues) -> Config {
    let RawFile {
        include: _,
        state_dir,
        listen,
        admin,
        engine,
        certs,
        compat,
        acme,
        alerts,
        log,
        status,
        stop_within,
        limits,
        scale,
        instances: _,
    } = file;
    // Lowered once for their own mistakes; the values reach the instances as a layer.
    let defaults = Defaults {
        limits: limits.clone(),
        scale: scale.clone(),
        instances: asked
            .as_ref()
            .map(|asked| below_instances(&asked.variables, issues)),
    };
    let (limits, _, _) = limits.lower(issues);
    scale.lower(issues);
    let (engine, names) = engine.lower(issues);
    let names = names
        .or_else(|| asked.as_ref().map(|asked| asked.names))
        .unwrap_or_default();
    // Who starts it in the place of nginx-proxy says so on the command line, as the image does.
    let in_its_place = asked.is_some() && names != NamesFromContainers::Off;
    let is_followed = names != NamesFromContainers::Off;
    let compat = compat.lower(in_its_place, is_followed, issues);
    let (certs, is_mounted) = certs.lower(&compat, in_its_place, issues);
    let state_dir = state_dir.map(|field| field.value);
    Config {
        state_dir: state_dir.unwrap_or_else(|| global::state_dir(&certs.dir, is_mounted, issues)),
        listen: listen.lower(issues),
        admin: admin.lower(&certs.dir, issues),
        engine,
        names_from_containers: names,
        asked,
        without_file: false,
        certs,
        compat,
        mounted: Arc::default(),
        acme: acme.and_then(|acme| acme.lower(issues)),
        alerts: alert::lower(alerts, issues),
        log: log.lower(),
        thresholds: status.lower(issues),
        stop_within: stop_within.map_or(STOP_WITHIN, |field| field.value.0),
        header_timeout: limits.header_timeout,
        instances: BTreeMap::new(),
        patterns: Vec::new(),
        entries: BTreeMap::new(),
        defaults: Arc::new(defaults),
    }
}

#[cfg(test)]
mod tests;
