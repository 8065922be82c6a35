//! Names that containers give themselves, in the words of nginx-proxy and acme-companion.
//!
//! Pure: listings and the configuration in, instances and sentences out. What a container says is a
//! layer below the operator's entry and is lowered like it, so that everything behind knows one model.
//! A name belongs to the configuration first, then to the stack that has it and lives; what is wrong
//! with one container costs that container alone.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tokio::time::Instant;

mod addition;
mod asking;
mod claim;
mod conflicts;
#[cfg(test)]
mod fixture;
mod grants;
mod kept;
mod known;
mod lower;
mod making;
mod mounts;
mod orders;
mod ruling;
mod spoken;
mod stack;

pub use self::kept::KeptNames;
pub use self::ruling::Ruling;
pub use self::spoken::{Asking as Spoken, asking};

use self::asking::Asking;
use self::conflicts::Owners;
use self::grants::{Declared, foreign, lost, not_granted};
use self::known::Known;
use self::orders::Judges;
use self::ruling::{Outcome, Together};
use self::stack::{HostClaim, Reading, is_silent};
use crate::config::model::NamesFromContainers;
use crate::config::{Config, Instance};
use crate::inventory::{Inventory, Stack};
use crate::moment::Now;
use crate::names::{InstanceName, ServiceName, StackName};
use crate::shared::Map;

/// Patterns of all stacks together, of hosts and of paths. Each of the former is tried for a host that
/// nobody names, and each of both takes memory.
const MOST_PATTERNS: usize = 256;

/// What is remembered from listing to listing. What a stack says is read, and what comes of it judged,
/// when the stack changes or a name it is about has another owner; a configuration that changes has
/// everybody judged.
#[derive(Debug, Default)]
pub struct Compat {
    config: Option<Arc<Config>>,
    listed: Map<StackName, Stack>,
    declared: Declared,
    stacks: BTreeMap<StackName, Known>,
    owners: Owners,
    asking: Asking,
    /// Who claims patterns: they share a budget, in this order.
    shaping: BTreeSet<StackName>,
    together: Together,
    #[cfg(test)]
    work: fixture::Work,
}

impl Compat {
    /// When time alone may change something.
    pub fn again_at(&self) -> Option<Instant> {
        self.owners.again_at()
    }

    /// Another number whenever a restart should find another owner of a name.
    pub fn owners_version(&self) -> u64 {
        self.owners.version()
    }

    /// What a restart should find again.
    pub fn kept(&self, now: Now) -> KeptNames {
        self.owners.kept(now)
    }

    /// Takes in who had which name when an earlier process ended. Nobody has one yet.
    pub fn remember(&mut self, kept: KeptNames, now: Now) {
        self.owners.remember(kept, now);
    }

    /// Says what comes of what containers claim. `declared` are the instances there are without that.
    pub fn settle(
        &mut self,
        now: Instant,
        config: &Arc<Config>,
        inventory: &Inventory,
        declared: &Map<InstanceName, Instance>,
    ) -> Arc<Ruling> {
        let names = config.names_from_containers;
        if names == NamesFromContainers::Off {
            *self = Self::default();
            return Arc::default();
        }
        let same_config = self.config.as_ref();
        let same_config = same_config.is_some_and(|known| Arc::ptr_eq(known, config));
        let anew = !same_config || !self.declared.is_of(declared);
        if anew {
            self.config = Some(Arc::clone(config));
            self.declared = Declared::new(declared);
            self.together = Together::of(config, declared);
            // A pattern is no domain, and nobody's by an entry.
            let theirs = |name: &str| {
                let domain = name.parse();
                domain.is_ok_and(|domain| self.declared.owner(&domain).is_some())
            };
            self.owners.forget(theirs);
        }
        let mut fresh = Vec::new();
        let mut judged = self.read(now, inventory, names, anew, &mut fresh);
        for name in self.owners.settle(now) {
            judged.extend(self.owners.claimants(&name).cloned());
            judged.extend(self.asking.about(&name).cloned());
        }
        let reshaped = self.asking.reshape(&self.stacks, &self.owners);
        judged.extend(reshaped.cloned());
        let mut before = 0;
        for stack in self.shaping.clone() {
            let known = self.stacks.get(&stack);
            let same = known.is_some_and(|known| known.patterns.0 == before);
            if judged.remove(&stack) || !same {
                self.judge(&stack, config, before, &mut fresh);
            }
            let known = self.stacks.get(&stack);
            before += known.map_or(0, |known| known.patterns.1);
        }
        for stack in judged {
            self.judge(&stack, config, 0, &mut fresh);
        }
        self.together.take(fresh);
        self.together.ruling()
    }

    /// Takes in what stacks say now. Returns those to be judged.
    fn read(
        &mut self,
        now: Instant,
        inventory: &Inventory,
        names: NamesFromContainers,
        anew: bool,
        fresh: &mut Vec<(StackName, Option<Arc<Outcome>>)>,
    ) -> BTreeSet<StackName> {
        let before = std::mem::replace(&mut self.listed, inventory.stacks.clone());
        let mut changed = BTreeSet::new();
        for found in before.differences(&inventory.stacks) {
            let stack = found.name;
            if found.now.is_some() {
                changed.insert(stack.clone());
                continue;
            }
            self.owners
                .claim(now, stack, &BTreeMap::new(), |_, _| false);
            if let Some(reading) = self.stacks.remove(stack).and_then(|known| known.reading) {
                self.unlist(stack, &reading);
            }
            fresh.push((stack.clone(), None));
        }
        if anew {
            changed.extend(inventory.stacks.keys().cloned());
        }
        changed.retain(|stack| {
            let Some(content) = inventory.stacks.get(stack) else {
                return false;
            };
            let known = self.stacks.get_mut(stack);
            let known = known.filter(|known| known.content == *content && !anew);
            match known {
                Some(known) => known.content = Arc::clone(content),
                None => {
                    self.read_one(now, stack, content, names);
                    return true;
                }
            }
            false
        });
        changed
    }

    fn read_one(
        &mut self,
        now: Instant,
        stack: &StackName,
        content: &Arc<Stack>,
        names: NamesFromContainers,
    ) {
        let known = self.stacks.remove(stack);
        let current = known.as_ref().and_then(|known| known.reading.as_ref());
        let current = current.is_some_and(|reading| reading.is_of(content, names));
        let mut known = known.unwrap_or_else(|| Known {
            content: Arc::clone(content),
            reading: None,
            verdict: None,
            outcome: Arc::default(),
            patterns: (0, 0),
        });
        // An entry is about services, whether or not they claim anything.
        if !content.services.keys().eq(known.content.services.keys()) {
            known.verdict = None;
        }
        known.content = Arc::clone(content);
        if !current {
            if let Some(reading) = known.reading.take() {
                self.unlist(stack, &reading);
            }
            known.verdict = None;
            if !is_silent(content) {
                #[cfg(test)]
                self.work.read();
                let reading = Reading::new(content, names);
                self.list(stack, &reading);
                known.reading = Some(reading);
            }
        }
        let mut claims: BTreeMap<&str, &HostClaim> = BTreeMap::new();
        if !self.declared.stacks.contains_key(stack) {
            let hosts = known.reading.iter().flat_map(|reading| &reading.hosts);
            let free = hosts.filter(|(_, said)| !self.declared.has(&said.host));
            claims.extend(free.map(|(text, said)| (text.as_str(), said)));
        }
        self.owners.claim(now, stack, &claims, |service, name| {
            renounces(content, service, name)
        });
        self.stacks.insert(stack.clone(), known);
    }

    fn list(&mut self, stack: &StackName, reading: &Reading) {
        self.asking.list(stack, reading);
        if reading.hosts.values().any(|said| said.patterns > 0) {
            self.shaping.insert(stack.clone());
        }
    }

    fn unlist(&mut self, stack: &StackName, reading: &Reading) {
        self.asking.unlist(stack, reading);
        self.shaping.remove(stack);
    }

    /// Says what comes of what a stack claims. `before`: patterns that others were granted.
    fn judge(
        &mut self,
        stack: &StackName,
        config: &Arc<Config>,
        before: usize,
        fresh: &mut Vec<(StackName, Option<Arc<Outcome>>)>,
    ) {
        let Some(known) = self.stacks.get_mut(stack) else {
            return;
        };
        #[cfg(test)]
        self.work.judged();
        let Some(reading) = &known.reading else {
            known.verdict = None;
            known.patterns = (before, 0);
            known.outcome = Arc::default();
            fresh.push((stack.clone(), None));
            return;
        };
        let Self {
            declared,
            owners,
            asking,
            ..
        } = self;
        let base = declared.stacks.get(stack);
        let mut patterns = before;
        let mut troubles = Vec::new();
        let mut has = BTreeSet::new();
        for (
            text,
            HostClaim {
                host,
                by,
                patterns: shaped,
                ..
            },
        ) in &reading.hosts
        {
            let refused = match base {
                Some(base) => not_granted(base, host, declared),
                None if config.names_from_containers == NamesFromContainers::Listed => {
                    Err(format!(
                        "no entry grants it; add an [[instance]] with `stack = \"{stack}\"` and \
                         the name in `domains`"
                    ))
                }
                None if patterns + shaped > MOST_PATTERNS => {
                    Err(format!("there are {MOST_PATTERNS} patterns already"))
                }
                None => lost(stack, text, host, owners, declared),
            };
            match refused {
                Ok(true) => {
                    patterns += shaped;
                    has.insert(text.clone());
                }
                Ok(false) => {}
                Err(why) => {
                    troubles.push(format!("container {by} claims `{text}` in vain: {why}"));
                }
            }
        }
        let foreign = foreign(stack, reading, owners, declared);
        let judges = Judges {
            owners,
            declared,
            shapes: &asking.shapes,
        };
        let entry = base.map(|base| &**base);
        let routable = judges.routable(stack, reading, &has, entry, &mut troubles);
        let base = base.cloned();
        known.patterns = (before, patterns - before);
        known.judge(stack, config, base.as_ref(), has, (foreign, routable));
        known.conclude(troubles);
        fresh.push((stack.clone(), Some(Arc::clone(&known.outcome))));
    }
}

/// Whether a service runs and says nothing of a name. Who asks for it in a way that is refused, by a
/// slip of the pen, means to have it.
fn renounces(content: &Stack, service: &ServiceName, name: &str) -> bool {
    let units = content.services.get(service).into_iter().flatten();
    let mut running = units.filter(|unit| unit.phase.is_alive()).peekable();
    let is_running = running.peek().is_some();
    let mut means = running.map(|unit| {
        let mut said = unit.claims.values.values();
        !unit.claims.left_out.is_empty()
            || said.any(|value| value.to_ascii_lowercase().contains(name))
    });
    is_running && !means.any(|means| means)
}

#[cfg(test)]
mod tests;
