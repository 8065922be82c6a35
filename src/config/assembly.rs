//! From entries to instances: layers put together, each entry accepted or rejected by itself.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use super::claims;
use super::issue::{Issue, Issues, Level, report};
use super::lower::instance;
use super::lower::values::{from_str, parse_list};
use super::model::{EngineChoice, NamesFromContainers, Role};
use super::pattern::Pattern;
use super::presets;
use super::raw::{RawInstance, RawInstances};
use super::reader::Field;
use super::whole::{Config, Entry};
use crate::names::{InstanceName, StackName};

/// What the entries have become.
pub(super) struct Assembled {
    pub(super) config: Config,
    /// Instances that were rejected and keep the form they had.
    pub(super) kept: BTreeSet<InstanceName>,
    pub(super) issues: Vec<Issue>,
}

/// Adds the instances to a configuration that has none yet. `unreadable` are the included files
/// whose instances keep their last good form.
pub(super) fn assemble(
    config: Config,
    entries: RawInstances,
    unreadable: &[String],
    previous: Option<&Config>,
) -> Assembled {
    let mut assembly = Assembly {
        config,
        previous,
        kept: BTreeSet::new(),
        issues: Vec::new(),
    };
    assembly.add(entries);
    assembly.keep_from(unreadable);
    let Assembly {
        mut config,
        mut kept,
        mut issues,
        ..
    } = assembly;
    claims::settle(&mut config, previous, &mut kept, &mut issues);
    let Config {
        entries, instances, ..
    } = &mut config;
    entries.retain(|name, _| instances.contains_key(name) && !kept.contains(name));
    check_engine(&config, &mut issues);
    Assembled {
        config,
        kept,
        issues,
    }
}

/// A configuration on its way from entries to instances.
struct Assembly<'p> {
    config: Config,
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
            let names = Field {
                value: field.value.services.clone(),
                at: field.at.clone(),
            };
            parse_list(&names, &issues, from_str)
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
        let entry = self
            .keeps_entries()
            .then(|| Entry(Arc::new(complete.clone())));
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
                self.config
                    .entries
                    .extend(entry.map(|entry| (name.clone(), entry)));
                self.config.instances.insert(name, instance);
            }
            None => self.keep(&name),
        }
    }

    /// Whether containers may add to what entries say.
    fn keeps_entries(&self) -> bool {
        self.config.names_from_containers != NamesFromContainers::Off
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
        let defaults = &self.config.defaults;
        if let Some(instances) = &defaults.instances {
            raw = raw.over(instances);
        }
        raw.limits = raw.limits.over(&defaults.limits);
        raw.scale = raw.scale.over(&defaults.scale);
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
}

/// Services that this engine cannot run are worth a word, not a rejection.
fn check_engine(config: &Config, issues: &mut Vec<Issue>) {
    for instance in config.instances.values() {
        for (name, service) in &instance.services {
            let text = match config.engine {
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
                issues.push(Issue {
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

fn has_error(issues: &[Issue]) -> bool {
    issues.iter().any(|issue| issue.level == Level::Error)
}

#[cfg(test)]
mod tests;
