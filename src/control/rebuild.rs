//! Who there is: instances of the configuration, of entries for many and of what containers claim,
//! brought in line with the newest listing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tracing::warn;

use super::event::Now;
use super::reach::OwnPorts;
use super::step::{Controller, together};
use super::strangers::Whose;
use super::tenant::Tenant;
use super::touched::Stale;
use crate::compat::Ruling;
use crate::config::model::NamesFromContainers;
use crate::config::{Config, Instance, Issue};
use crate::inventory::{Inventory, Stack};
use crate::names::{Domain, InstanceName, StackName};

/// What the entries for many make of one stack.
#[derive(Debug)]
pub(super) struct Fitted {
    config: Arc<Config>,
    stack: Arc<Stack>,
    /// `None`: none of them fits. The error: why it becomes no instance.
    made: Option<Result<Arc<Instance>, String>>,
}

impl Fitted {
    fn new(config: &Arc<Config>, name: &StackName, stack: &Arc<Stack>) -> Self {
        let made = config.instance_by_pattern(name, stack.services.keys());
        let told = |issues: Vec<Issue>| {
            let text: Vec<_> = issues.iter().map(Issue::to_string).collect();
            text.join("; ")
        };
        Self {
            config: Arc::clone(config),
            stack: Arc::clone(stack),
            made: made.map(|made| made.map(Arc::new).map_err(told)),
        }
    }

    fn is_of(&self, config: &Arc<Config>, stack: &Arc<Stack>) -> bool {
        let same = || self.stack.services.keys().eq(stack.services.keys());
        Arc::ptr_eq(&self.config, config) && (Arc::ptr_eq(&self.stack, stack) || same())
    }
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
    pub(super) fn rebuild(&mut self, now: Now, all: bool) {
        let inventory = self.listing.inventory.clone().unwrap_or_default();
        let mut wanted = self.wanted(&inventory);
        let mut ruling = self
            .compat
            .settle(now.at, &self.current.config, &inventory, &wanted);
        for (name, instance) in &ruling.instances {
            // An equal instance keeps its allocation, and with it its plan and table.
            let known = self.tenants.get(name).map(|tenant| &tenant.instance);
            let known = known.filter(|known| Arc::ptr_eq(known, instance) || *known == instance);
            wanted.insert(name.clone(), Arc::clone(known.unwrap_or(instance)));
        }
        let follows = self.current.config.names_from_containers != NamesFromContainers::Off;
        let whose = Whose {
            wanted: &wanted,
            follows,
        };
        whose.tell(&inventory, &mut ruling);
        self.tell(&ruling);
        self.tell_superseded();
        let refused = ruling.refused.iter();
        self.misfits
            .extend(refused.map(|(stack, why)| (stack.clone(), together(why))));
        let is_gone = |name: &&InstanceName| !wanted.contains_key(*name);
        let gone: Vec<InstanceName> = self.tenants.keys().filter(is_gone).cloned().collect();
        for name in gone {
            self.tenants.remove(&name);
            self.stale.touch(&name);
        }
        if all {
            self.stale = Stale::everything();
        }
        let next = self.plan.generation.next();
        let own = OwnPorts {
            listened: self.current.config.ports(),
            published: inventory.published.clone(),
        };
        for (name, instance) in wanted {
            let stack = ruling
                .views
                .get(&name)
                .or_else(|| inventory.stacks.get(&instance.stack));
            let claims = ruling.notes.get(&name).cloned().unwrap_or_default();
            let known = self.tenants.get(&name);
            if !all && known.is_some_and(|known| known.is_as(&instance, stack, &claims)) {
                continue;
            }
            self.stale.touch(&name);
            let new = known.is_none();
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

    /// One line for everything that is new about the claims of containers.
    fn tell(&mut self, ruling: &Ruling) {
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

    /// The declared instances, and those that stacks become by an entry for many.
    fn wanted(&mut self, inventory: &Inventory) -> BTreeMap<InstanceName, Arc<Instance>> {
        let config = Arc::clone(&self.current.config);
        let mut wanted = config.instances.clone();
        let mut taken: BTreeSet<Domain> = config.served_names();
        self.misfits.clear();
        if config.patterns.is_empty() {
            self.fitted.clear();
            return wanted;
        }
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
                    self.misfits.insert(stack.clone(), why);
                    continue;
                }
            };
            if wanted.contains_key(&instance.name) {
                let text = format!("an instance `{}` with another stack exists", instance.name);
                self.misfits.insert(stack.clone(), text);
                continue;
            }
            let claimed = instance
                .site
                .domains
                .iter()
                .find(|domain| taken.contains(domain));
            if let Some(domain) = claimed {
                let text = format!("`{domain}` belongs to another instance");
                self.misfits.insert(stack.clone(), text);
                continue;
            }
            taken.extend(instance.site.domains.iter().cloned());
            // An equal instance keeps its allocation, and with it its plan and table.
            let known = self
                .tenants
                .get(&instance.name)
                .filter(|tenant| tenant.instance == instance)
                .map(|tenant| Arc::clone(&tenant.instance));
            let instance = known.unwrap_or(instance);
            wanted.insert(instance.name.clone(), instance);
        }
        wanted
    }
}
