//! The operator's wishes, read from TOML.
//!
//! Two kinds of types: `raw` is what the files say, [`model`] what the program believes. Reading
//! reports every mistake with file, line and key. The global part applies whole or not at all; each
//! instance is accepted or rejected alone, and a rejected one keeps its last good form.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod fingerprint;
mod global;
mod instance;
mod issue;
mod merge;
pub mod model;
mod pattern;
mod presets;
mod raw;
mod reader;
mod units;
pub mod watch;

pub use self::fingerprint::Fingerprint;
pub use self::issue::{Issue, Level};
pub use self::model::{Config, Instance};
pub use self::pattern::Pattern;
pub use self::units::{format_span, parse_span};

use self::global::{Issues, STOP_WITHIN, included, report, value_or};
use self::issue::Source;
use self::model::{EngineChoice, Role};
use self::raw::{RawFile, RawInstance, RawInstances};
use crate::names::{Domain, InstanceName, StackName};

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
/// wrong now.
pub fn load(path: &Path, previous: Option<&Config>) -> Loaded {
    let issues = Issues::default();
    let mut seen = Fingerprint::default();
    let Some((file, instances, unreadable)) = read_all(path, &issues, &mut seen) else {
        return Loaded {
            config: None,
            issues: issues.into_inner(),
            kept: BTreeSet::new(),
            seen,
        };
    };
    let defaults = Defaults {
        limits: file.limits.clone(),
        scale: file.scale.clone(),
    };
    let config = lower_global(file, &issues);
    let global_is_good = issues
        .borrow()
        .iter()
        .all(|issue| issue.level != Level::Error)
        || only_includes_failed(&issues, &unreadable);

    let mut assembly = Assembly {
        config,
        defaults,
        previous,
        kept: BTreeSet::new(),
        issues: issues.into_inner(),
    };
    assembly.add(instances);
    assembly.keep_from(&unreadable);
    assembly.settle_claims();
    assembly.check_engine();
    let Assembly {
        config,
        kept,
        mut issues,
        ..
    } = assembly;
    dedup(&mut issues);
    Loaded {
        config: global_is_good.then_some(config),
        issues,
        kept,
        seen,
    }
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

fn lower_global(file: RawFile, issues: &Issues) -> Config {
    let RawFile {
        include: _,
        state_dir,
        listen,
        admin,
        engine,
        certs,
        acme,
        log,
        status,
        stop_within,
        limits,
        scale,
        instances: _,
    } = file;
    // Lowered once for their own mistakes; the values reach the instances as a layer.
    let (limits, _, _) = limits.lower(issues);
    scale.lower(issues);
    Config {
        state_dir: value_or(state_dir, PathBuf::from("state")),
        listen: listen.lower(issues),
        admin: admin.lower(issues),
        engine: engine.lower(issues),
        certs: certs.lower(),
        acme: acme.map(|acme| acme.lower(issues)),
        log: log.lower(),
        thresholds: status.lower(issues),
        stop_within: stop_within.map_or(STOP_WITHIN, |field| field.value.0),
        header_timeout: limits.header_timeout,
        instances: BTreeMap::new(),
        patterns: Vec::new(),
    }
}

/// The lowest layer of every instance.
struct Defaults {
    limits: raw::RawLimits,
    scale: raw::RawScale,
}

/// A configuration on its way from entries to instances.
struct Assembly<'p> {
    config: Config,
    defaults: Defaults,
    previous: Option<&'p Config>,
    kept: BTreeSet<InstanceName>,
    issues: Vec<Issue>,
}

impl Assembly<'_> {
    fn add(&mut self, instances: RawInstances) {
        let (patterns, named): (Vec<_>, Vec<_>) = instances.into_iter().partition(|(raw, _)| {
            raw.name
                .as_ref()
                .is_some_and(|name| name.value.ends_with('*'))
        });
        for (raw, issues) in patterns {
            self.add_pattern(raw, issues);
        }
        for (raw, issues) in named {
            self.add_named(raw, issues);
        }
    }

    fn add_pattern(&mut self, raw: RawInstance, issues: Vec<Issue>) {
        let issues = RefCell::new(issues);
        let prefix = raw.name.as_ref().map_or_else(String::new, |name| {
            name.value.trim_end_matches('*').to_owned()
        });
        if let Some(stack) = &raw.stack {
            report(
                &issues,
                stack
                    .at
                    .error("names one stack, but this entry stands for many"),
            );
        }
        let requires = raw.matching.as_ref().map_or_else(Vec::new, |field| {
            let names = reader::Field {
                value: field.value.services.clone(),
                at: field.at.clone(),
            };
            global::parse_list(&names, &issues, global::from_str)
        });
        let own = raw.clone();
        let complete = self.complete(raw, None, &issues);
        let failed = has_error(&issues.borrow());
        self.issues.extend(issues.into_inner());
        if !failed {
            let pattern = Pattern::new(prefix, requires, own, complete);
            self.config.patterns.push(Arc::new(pattern));
            // The most specific first, so that the first that fits is the one that counts.
            self.config
                .patterns
                .sort_by_key(|pattern| std::cmp::Reverse(pattern.precedence()));
        }
    }

    fn add_named(&mut self, raw: RawInstance, issues: Vec<Issue>) {
        let issues = RefCell::new(issues);
        let at = raw.at.clone();
        for at in [
            raw.matching.as_ref().map(|f| &f.at),
            raw.except.as_ref().map(|f| &f.at),
        ]
        .into_iter()
        .flatten()
        {
            report(
                &issues,
                at.error("belongs to an entry whose name ends in `*`"),
            );
        }
        let parsed = raw
            .name
            .as_ref()
            .map(|field| (field, field.value.parse::<InstanceName>()));
        let name = match parsed {
            Some((_, Ok(name))) => Some(name),
            Some((field, Err(error))) => {
                report(
                    &issues,
                    field.at.error(format!("`{}` {error}", field.value)),
                );
                None
            }
            None => {
                report(&issues, at.error("needs a `name`"));
                None
            }
        };
        let Some(name) = name else {
            self.issues.extend(issues.into_inner());
            return;
        };
        let stack = match &raw.stack {
            None => name.as_str().parse::<StackName>(),
            Some(field) => field.value.parse().inspect_err(|error| {
                report(
                    &issues,
                    field.at.error(format!("`{}` {error}", field.value)),
                );
            }),
        };
        let pattern = self
            .config
            .patterns
            .iter()
            .find(|pattern| pattern.fits_name(name.as_str()))
            .cloned();
        let complete = self.complete(raw, pattern.as_deref(), &issues);
        let instance = stack
            .ok()
            .map(|stack| instance::lower(complete, name.clone(), stack, &issues));
        if self.config.instances.contains_key(&name) {
            report(
                &issues,
                at.error("is declared twice; the first declaration counts"),
            );
            self.issues.extend(issues.into_inner());
            return;
        }
        let failed = has_error(&issues.borrow());
        self.issues.extend(issues.into_inner());
        match instance.filter(|_| !failed) {
            Some(instance) => {
                // An unchanged instance keeps its allocation, and with it its plan and table.
                let same = self
                    .previous
                    .and_then(|config| config.instances.get(&name))
                    .filter(|old| ***old == instance);
                let instance = same.cloned().unwrap_or_else(|| Arc::new(instance));
                self.config.instances.insert(name, instance);
            }
            None => self.keep(&name),
        }
    }

    /// The entry with every layer below it.
    fn complete(
        &self,
        raw: RawInstance,
        pattern: Option<&Pattern>,
        issues: &Issues,
    ) -> RawInstance {
        let mut raw = match pattern {
            Some(pattern) => raw.over(pattern.own()),
            None => raw,
        };
        if let Some(field) = raw.preset.clone() {
            match presets::find(&field.value) {
                Some(preset) => raw = raw.over(&preset),
                None => {
                    let text = format!(
                        "`{}` is no preset; there is {}",
                        field.value,
                        presets::names()
                    );
                    report(issues, field.at.error(text));
                }
            }
        }
        raw.limits = raw.limits.over(&self.defaults.limits);
        raw.scale = raw.scale.over(&self.defaults.scale);
        raw
    }

    /// Puts the last good form in the place of what is wrong now.
    fn keep(&mut self, name: &InstanceName) {
        let Some(old) = self.previous.and_then(|config| config.instances.get(name)) else {
            return;
        };
        self.config.instances.insert(name.clone(), Arc::clone(old));
        self.kept.insert(name.clone());
    }

    fn keep_from(&mut self, unreadable: &[String]) {
        let Some(previous) = self.previous else {
            return;
        };
        let names: Vec<_> = previous
            .instances
            .values()
            .filter(|old| unreadable.iter().any(|file| **file == *old.file))
            .map(|old| old.name.clone())
            .filter(|name| !self.config.instances.contains_key(name))
            .collect();
        for name in names {
            self.keep(&name);
        }
    }

    /// A domain belongs to one instance. The live owner keeps it; at a first start, the one that
    /// comes first by name.
    fn settle_claims(&mut self) {
        let mut owners: BTreeMap<Domain, InstanceName> = BTreeMap::new();
        let mut order: Vec<Arc<Instance>> = self.config.instances.values().cloned().collect();
        order.sort_by_key(|instance| !self.kept.contains(&instance.name) && !self.owned(instance));
        for instance in order {
            let names = claims(&instance);
            let taken = names
                .iter()
                .find_map(|domain| Some((domain, owners.get(domain)?.clone())));
            let Some((domain, owner)) = taken else {
                owners.extend(
                    names
                        .into_iter()
                        .map(|domain| (domain, instance.name.clone())),
                );
                continue;
            };
            self.issues.push(Issue {
                level: Level::Error,
                file: instance.file.to_string(),
                line: None,
                key: format!("instance.{}.domains", instance.name),
                text: format!(
                    "`{domain}` belongs to the instance `{owner}`; remove it from one of them"
                ),
            });
            self.config.instances.remove(&instance.name);
            let old = self
                .previous
                .and_then(|config| config.instances.get(&instance.name))
                .filter(|old| {
                    claims(old)
                        .iter()
                        .all(|domain| !owners.contains_key(domain))
                })
                .cloned();
            if let Some(old) = old {
                owners.extend(
                    claims(&old)
                        .into_iter()
                        .map(|domain| (domain, old.name.clone())),
                );
                self.kept.insert(old.name.clone());
                self.config.instances.insert(old.name.clone(), old);
            }
        }
    }

    /// Whether it answered to all of its names before this reading.
    fn owned(&self, instance: &Instance) -> bool {
        self.previous
            .and_then(|config| config.instances.get(&instance.name))
            .is_some_and(|old| {
                let had = claims(old);
                claims(instance).iter().all(|domain| had.contains(domain))
            })
    }

    /// Services that this engine cannot run are worth a word, not a rejection.
    fn check_engine(&mut self) {
        for instance in self.config.instances.values() {
            for (name, service) in &instance.services {
                let text = match self.config.engine {
                    EngineChoice::Processes
                        if service.command.is_empty() && service.addresses.is_empty() =>
                    {
                        "has neither a `command` for the process engine nor `addresses`"
                    }
                    EngineChoice::None
                        if service.addresses.is_empty() && !matches!(service.role, Role::Fixed) =>
                    {
                        "has no `addresses`, and [engine] kind is \"none\": it has no replicas"
                    }
                    EngineChoice::Docker { .. } if !service.command.is_empty() => {
                        "has a `command`, which only the process engine runs"
                    }
                    _ => continue,
                };
                if service.expected {
                    self.issues.push(Issue {
                        level: Level::Warning,
                        file: instance.file.to_string(),
                        line: None,
                        key: format!("instance.{}.service.{name}", instance.name),
                        text: text.to_owned(),
                    });
                }
            }
        }
    }
}

/// Every name an instance answers to.
fn claims(instance: &Instance) -> BTreeSet<Domain> {
    let redirects = instance
        .site
        .redirect_from
        .iter()
        .cloned()
        .map(Domain::Exact);
    instance
        .site
        .domains
        .iter()
        .cloned()
        .chain(redirects)
        .collect()
}

fn has_error(issues: &[Issue]) -> bool {
    issues.iter().any(|issue| issue.level == Level::Error)
}

impl Config {
    /// The instance that a stack becomes by an entry that stands for many, if any fits.
    ///
    /// # Errors
    /// What keeps the entry that fits from being applied to this stack.
    pub fn instance_by_pattern<'a>(
        &self,
        stack: &StackName,
        services: impl Iterator<Item = &'a crate::names::ServiceName> + Clone,
    ) -> Option<Result<Instance, Vec<Issue>>> {
        if self
            .instances
            .values()
            .any(|instance| instance.stack == *stack)
        {
            return None;
        }
        self.patterns
            .iter()
            .find(|pattern| pattern.fits(stack, services.clone()))
            .map(|pattern| pattern.instantiate(stack))
    }

    /// How many names are served.
    pub fn served_names(&self) -> BTreeSet<Domain> {
        self.instances
            .values()
            .flat_map(|instance| claims(instance))
            .collect()
    }
}

#[cfg(test)]
mod tests;
