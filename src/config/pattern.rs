//! Entries for tenants that need no entry of their own: `name = "*"` or `name = "saal-*"`.

use std::cell::RefCell;
use std::sync::Arc;

use super::issue::{Issue, Level};
use super::lower::instance;
use super::model::Instance;
use super::raw::RawInstance;
use crate::names::{InstanceName, ServiceName, StackName};
use crate::plan::Declared;

/// An entry that stands for every stack that fits it and has no entry of its own.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What a stack's name begins with; empty fits all.
    prefix: String,
    /// Services a stack must have.
    requires: Vec<ServiceName>,
    except: Vec<String>,
    /// What the entry itself says: a layer below entries of its tenants' own.
    own: Arc<RawInstance>,
    /// The entry over its preset and the defaults.
    complete: Arc<RawInstance>,
}

impl Pattern {
    pub(super) fn new(
        prefix: String,
        requires: Vec<ServiceName>,
        own: RawInstance,
        complete: RawInstance,
    ) -> Self {
        let except = own
            .except
            .as_ref()
            .map_or_else(Vec::new, |field| field.value.clone());
        Self {
            prefix,
            requires,
            except,
            own: Arc::new(own),
            complete: Arc::new(complete),
        }
    }

    /// Whether a tenant of this name takes what it does not say from here.
    pub(super) fn fits_name(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }

    /// As its entry has it.
    pub(super) fn name(&self) -> String {
        format!("{}*", self.prefix)
    }

    pub(super) fn own(&self) -> &RawInstance {
        &self.own
    }

    /// The entry over its preset and the defaults.
    pub(super) fn complete(&self) -> Arc<RawInstance> {
        Arc::clone(&self.complete)
    }

    /// How specific it is: of several that fit, the one with the longest prefix counts.
    pub(super) fn precedence(&self) -> usize {
        self.prefix.len()
    }

    /// Whether a stack that runs these services becomes an instance by this entry.
    pub fn fits<'a>(
        &self,
        stack: &StackName,
        services: impl Iterator<Item = &'a ServiceName> + Clone,
    ) -> bool {
        self.fits_name(stack.as_str())
            && !self.except.iter().any(|except| except == stack.as_str())
            && self
                .requires
                .iter()
                .all(|wanted| services.clone().any(|has| has == wanted))
    }

    /// The instance this entry makes of a stack.
    ///
    /// # Errors
    /// What keeps this stack from becoming an instance, above all a name that is no DNS label.
    pub fn instantiate(&self, stack: &StackName) -> Result<Instance, Vec<Issue>> {
        let issues = RefCell::default();
        let name: InstanceName = match stack.as_str().parse() {
            Ok(name) => name,
            Err(error) => {
                let text = format!("stack `{stack}` {error}");
                return Err(vec![self.own.at.error(text)]);
            }
        };
        let mut instance = instance::lower((*self.complete).clone(), name, stack.clone(), &issues);
        instance.declared = Declared::ByPattern;
        let issues = issues.into_inner();
        if issues.iter().any(|issue| issue.level == Level::Error) {
            return Err(issues);
        }
        Ok(instance)
    }
}

#[cfg(test)]
mod tests;
