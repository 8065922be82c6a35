//! Whom the prober asks whether they are ready.

use std::sync::Arc;

use super::super::controller::Controller;
use super::super::replica::State;
use super::super::tenant::Tenant;
use super::reach::question;
use crate::names::Domain;
use crate::prober;

impl Controller {
    /// Every replica that has to be asked whether it is ready.
    pub fn targets(&mut self) -> Arc<prober::Targets> {
        let touched = self.stale.targets.take();
        for name in touched.gone(&self.targets, &self.tenants) {
            Arc::make_mut(&mut self.targets).remove(&name);
        }
        for (name, tenant) in touched.of(&self.tenants) {
            let fresh = tenant.targets();
            if self.targets.get(name).map_or(&[][..], |known| known) == fresh {
                continue;
            }
            let all = Arc::make_mut(&mut self.targets);
            match fresh.is_empty() {
                true => drop(all.remove(name)),
                false => drop(all.insert(name.clone(), fresh.into())),
            }
        }
        Arc::clone(&self.targets)
    }
}

impl Tenant {
    fn targets(&self) -> Vec<prober::Target> {
        let mut targets = Vec::new();
        if self.instance.standby || !self.rented {
            return targets;
        }
        let host = self.first_host();
        for (name, service) in &self.instance.services {
            for replica in self.replicas(name) {
                let leaves = matches!(
                    replica.state(),
                    State::Stopping { .. } | State::Cutting { .. }
                );
                let asked = question(service, &replica.unit, host);
                let Some(asked) = asked.filter(|_| !leaves) else {
                    continue;
                };
                targets.push(prober::Target {
                    subject: prober::Subject {
                        instance: self.instance.name.clone(),
                        service: name.clone(),
                        replica: replica.unit.id.clone(),
                    },
                    address: asked.address,
                    tls: asked.tls,
                    question: asked.question,
                });
            }
        }
        targets
    }

    fn first_host(&self) -> &str {
        match self.instance.site.domains.first() {
            Some(Domain::Exact(host) | Domain::Below(host)) => host.as_str(),
            None => "localhost",
        }
    }
}
