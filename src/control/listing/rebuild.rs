//! Who there is: instances of the configuration, of entries for many and of what containers claim,
//! brought in line with the newest listing.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::warn;

use super::super::controller::Controller;
use super::super::event::Now;
use super::super::outgoing::reach::OwnPorts;
use super::super::sentences::together;
use super::super::tenant::Tenant;
use super::super::touched::Stale;
use super::built::{Built, Fitted, Instances, Misfits};
use super::strangers::Whose;
use crate::config::Config;
use crate::config::model::NamesFromContainers;
use crate::inventory::Inventory;
use crate::names::{Domain, InstanceName};
use crate::shared::Map;

/// The names under which there is another value than before.
fn named<'m, K: Clone + Ord, V: ?Sized>(
    before: &'m Map<K, V>,
    now: &'m Map<K, V>,
) -> impl Iterator<Item = K> + use<'m, K, V> {
    before.differences(now).map(|found| found.name.clone())
}

impl Controller {
    /// What containers claim and do not get: whose claims, and why not.
    pub fn claims_in_vain(&self) -> impl Iterator<Item = (String, &str)> {
        let refused = self
            .misfits
            .iter()
            .map(|(stack, why)| (format!("stack {stack}"), why.as_str()));
        let noted = self.tenants.iter().flat_map(|(name, tenant)| {
            let whose = format!("instance {name}");
            let told = tenant.claims.iter().map(String::as_str);
            told.map(move |why| (whose.clone(), why))
        });
        refused.chain(noted)
    }

    /// Instances that only containers ask for, with the names they get.
    pub fn claimed(&self) -> impl Iterator<Item = (&InstanceName, String)> {
        let entries = &self.current.config.instances;
        let made = self
            .tenants
            .iter()
            .filter(|(name, _)| !entries.contains_key(*name));
        made.map(|(name, tenant)| {
            let site = &tenant.instance.site;
            let domains = site.domains.iter().map(ToString::to_string);
            let patterns = site.patterns.iter().map(ToString::to_string);
            (name, domains.chain(patterns).collect::<Vec<_>>().join(", "))
        })
    }

    /// Brings tenants and replicas in line with the newest configuration and listing: all of them, or
    /// those that have another instance, another stack or other claims than before.
    pub(in crate::control) fn rebuild(&mut self, now: Now, all: bool) {
        let inventory = self.listing.inventory.clone().unwrap_or_default();
        let (declared, misfits) = self.declared(&inventory);
        let mut ruling = self
            .compat
            .settle(now.at, &self.current.config, &inventory, &declared);
        let follows = self.current.config.names_from_containers != NamesFromContainers::Off;
        let mut beset = std::mem::take(&mut self.built.beset);
        for found in self.built.inventory.stacks.differences(&inventory.stacks) {
            match found.now.is_some_and(|stack| !stack.left_out.is_empty()) {
                true => drop(beset.insert(found.name.clone())),
                false => drop(beset.remove(found.name)),
            }
        }
        let whose = Whose {
            declared: &declared,
            follows,
            beset: &beset,
        };
        whose.tell(&inventory, &mut ruling);
        self.tell_superseded();
        let refused = ruling.refused.iter();
        let refused = refused.map(|(stack, why)| (stack.clone(), together(why)));
        self.misfits = misfits.clone().into_iter().chain(refused).collect();
        let newest = Built {
            config: Some(Arc::clone(&self.current.config)),
            inventory,
            declared,
            misfits,
            ruling,
            beset,
        };
        let before = std::mem::replace(&mut self.built, newest);
        if before
            .ruling
            .notes
            .differences(&self.built.ruling.notes)
            .next()
            .is_some()
            || before
                .ruling
                .refused
                .differences(&self.built.ruling.refused)
                .next()
                .is_some()
        {
            self.tell();
        }
        let concerned = match all {
            true => {
                self.stale = Stale::everything();
                let there = self.built.names().chain(self.tenants.keys());
                there.cloned().collect()
            }
            false => self.concerned(&before),
        };
        let next = self.plan.generation.next();
        let own = OwnPorts {
            listened: self.current.config.ports(),
            published: self.built.inventory.published.clone(),
        };
        for name in concerned {
            let Built {
                inventory, ruling, ..
            } = &self.built;
            let known = self.tenants.get(&name);
            let Some(instance) = self.built.instance(&name) else {
                if let Some(gone) = self.tenants.remove(&name) {
                    self.of_stacks.remove(&gone.instance.stack, &name);
                    self.stale.touch(&name);
                }
                continue;
            };
            // An equal instance keeps its allocation, and with it its plan and table.
            let equal = known.map(|known| &known.instance);
            let equal = equal.filter(|known| Arc::ptr_eq(known, instance) || *known == instance);
            let instance = Arc::clone(equal.unwrap_or(instance));
            let stack = ruling
                .views
                .get(&name)
                .or_else(|| inventory.stacks.get(&instance.stack));
            let claims = ruling.notes.get(&name).cloned().unwrap_or_default();
            if !all && known.is_some_and(|known| known.is_as(&instance, stack, &claims)) {
                continue;
            }
            self.stale.touch(&name);
            let new = known.is_none();
            if let Some(known) = known {
                self.of_stacks.remove(&known.instance.stack, &name);
            }
            self.of_stacks.add(&instance.stack, &name);
            let tenant = self
                .tenants
                .entry(name.clone())
                .or_insert_with(|| Tenant::new(Arc::clone(&instance)));
            tenant.configure(instance);
            tenant.claims = claims;
            tenant.list(stack, now, next, self.engine.quiet, &own);
            if new {
                self.recall(&name, now);
            }
        }
    }

    /// Instances about which something may be new.
    fn concerned(&self, before: &Built) -> BTreeSet<InstanceName> {
        let now = &self.built;
        let mut concerned: BTreeSet<InstanceName> = BTreeSet::new();
        concerned.extend(named(&before.declared, &now.declared));
        concerned.extend(named(&before.ruling.instances, &now.ruling.instances));
        concerned.extend(named(&before.ruling.views, &now.ruling.views));
        concerned.extend(named(&before.ruling.notes, &now.ruling.notes));
        let (old, new) = (&before.inventory.stacks, &now.inventory.stacks);
        for stack in named(old, new) {
            concerned.extend(self.of_stacks.of(&stack).cloned());
        }
        concerned
    }

    /// One line for everything that is new about the claims of containers.
    fn tell(&mut self) {
        let ruling = Arc::clone(&self.built.ruling);
        let noted = ruling.notes.iter();
        let noted = noted.map(|(name, told)| (name.as_str(), told));
        let refused = ruling.refused.iter();
        let refused = refused.map(|(stack, told)| (stack.as_str(), told));
        let mut told = BTreeSet::new();
        for (whose, sentences) in noted.chain(refused) {
            for sentence in sentences.iter() {
                let line = format!("{whose}: {sentence}");
                if !self.told.contains(&line) {
                    warn!(stack = whose, reason = %sentence, "claims of containers");
                }
                told.insert(line);
            }
        }
        self.told = told;
    }

    /// The declared instances, and those that stacks become by an entry for many; and why others become
    /// none.
    fn declared(&mut self, inventory: &Inventory) -> (Instances, Misfits) {
        let config = Arc::clone(&self.current.config);
        let entries = || -> Instances {
            let entries = config.instances.iter();
            entries
                .map(|(name, instance)| (name.clone(), Arc::clone(instance)))
                .collect()
        };
        if config.patterns.is_empty() {
            self.fitted.clear();
            let declared = match self.is_built_of(&config) {
                true => self.built.declared.clone(),
                false => entries(),
            };
            return (declared, Misfits::new());
        }
        if self.fits_as_before(inventory) {
            return (self.built.declared.clone(), self.built.misfits.clone());
        }
        let mut declared = entries();
        let mut misfits = Misfits::new();
        let mut taken: BTreeSet<Domain> = config.served_names();
        let mut before = std::mem::take(&mut self.fitted);
        for (stack, content) in &inventory.stacks {
            let known = before.remove(stack);
            let known = known.filter(|known| known.is_of(&config, content));
            let fitted = known.unwrap_or_else(|| Fitted::new(&config, stack, content));
            let made = fitted.made.clone();
            self.fitted.insert(stack.clone(), fitted);
            let instance = match made {
                None => continue,
                Some(Ok(instance)) => instance,
                Some(Err(why)) => {
                    misfits.insert(stack.clone(), why);
                    continue;
                }
            };
            if declared.contains_key(&instance.name) {
                let text = format!("an instance `{}` with another stack exists", instance.name);
                misfits.insert(stack.clone(), text);
                continue;
            }
            let claimed = instance
                .site
                .domains
                .iter()
                .find(|domain| taken.contains(domain));
            if let Some(domain) = claimed {
                let text = format!("`{domain}` belongs to another instance");
                misfits.insert(stack.clone(), text);
                continue;
            }
            taken.extend(instance.site.domains.iter().cloned());
            declared.insert(instance.name.clone(), instance);
        }
        (declared, misfits)
    }

    fn is_built_of(&self, config: &Arc<Config>) -> bool {
        let known = self.built.config.as_ref();
        known.is_some_and(|known| Arc::ptr_eq(known, config))
    }

    /// Whether the entries for many make of every stack what they made of it before.
    fn fits_as_before(&mut self, inventory: &Inventory) -> bool {
        let config = &self.current.config;
        if !self.is_built_of(config) {
            return false;
        }
        for found in self.built.inventory.stacks.differences(&inventory.stacks) {
            let fitted = self.fitted.get_mut(found.name);
            match fitted.zip(found.now) {
                Some((fitted, stack)) if fitted.is_of(config, stack) => {
                    fitted.stack = Arc::clone(stack);
                }
                _ => return false,
            }
        }
        true
    }
}
