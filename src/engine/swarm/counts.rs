//! Who set how many replicas a service has: usher, or somebody else.
//!
//! A listing that was asked for before usher's own change may come in after it; the version of the
//! service tells the two apart.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use super::wire::Service;
use crate::inventory::Count;

/// By the ids of the services.
#[derive(Debug, Default)]
pub(super) struct Counts(BTreeMap<String, Known>);

#[derive(Debug)]
struct Known {
    replicas: u64,
    version: u64,
    /// What the tasks are made from. A deployment changes it, and brings the number that is
    /// written in its file, which nobody meant for this hour.
    template: String,
    /// What usher has asked for and not heard the end of.
    asked: Option<u64>,
    /// By somebody else.
    changed: Option<Count>,
}

impl Counts {
    /// Takes a service in as it was listed at this time.
    pub(super) fn listed(&mut self, service: &Service, at: SystemTime) {
        let Some(replicas) = service.replicas() else {
            return;
        };
        let version = service.version.index;
        let template = service.spec.task_template.to_string();
        let Some(known) = self.0.get_mut(&service.id) else {
            let known = Known {
                replicas,
                version,
                template,
                asked: None,
                changed: None,
            };
            self.0.insert(service.id.clone(), known);
            return;
        };
        if version <= known.version {
            return;
        }
        known.version = version;
        let deployed = known.template != template;
        known.template = template;
        if known.asked == Some(replicas) {
            known.asked = None;
        } else if known.replicas != replicas && !deployed {
            known.changed = Some(Count {
                from: known.replicas,
                to: replicas,
                at,
                version,
            });
        }
        known.replicas = replicas;
    }

    /// Whether a service is as it was last known: nobody has changed the number since.
    pub(super) fn is_as_known(&self, service: &Service) -> bool {
        self.0.get(&service.id).is_none_or(|known| {
            let told = service.replicas();
            told == Some(known.replicas) || told == known.asked
        })
    }

    /// usher is about to ask for so many.
    pub(super) fn ask(&mut self, service: &Service, replicas: u64) {
        if let Some(known) = self.0.get_mut(&service.id) {
            known.asked = Some(replicas);
        }
    }

    /// The manager has done it, to the version it was asked to do it to.
    pub(super) fn granted(&mut self, service: &Service, replicas: u64) {
        if let Some(known) = self.0.get_mut(&service.id) {
            known.asked = None;
            known.replicas = replicas;
            known.version = known.version.max(service.version.index);
        }
    }

    /// The manager has said no.
    pub(super) fn denied(&mut self, service: &Service) {
        if let Some(known) = self.0.get_mut(&service.id) {
            known.asked = None;
        }
    }

    /// What somebody else last made of the number.
    pub(super) fn changed(&self, service: &str) -> Option<Count> {
        self.0.get(service)?.changed
    }

    /// Forgets services that are no more.
    pub(super) fn keep(&mut self, ids: &BTreeSet<&str>) {
        self.0.retain(|id, _| ids.contains(id.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn service(version: u64, replicas: u64, image: &str) -> Service {
        let told = json!({
            "ID": "s1",
            "Version": { "Index": version },
            "Spec": {
                "TaskTemplate": { "ContainerSpec": { "Image": image } },
                "Mode": { "Replicated": { "Replicas": replicas } },
            },
        });
        serde_json::from_value(told).expect("a service")
    }

    fn listed(counts: &mut Counts, version: u64, replicas: u64) -> Option<(u64, u64)> {
        let service = service(version, replicas, "app:1");
        counts.listed(&service, SystemTime::UNIX_EPOCH);
        let changed = counts.changed("s1")?;
        Some((changed.from, changed.to))
    }

    #[test]
    fn only_what_somebody_else_did_is_a_change() {
        let mut counts = Counts::default();
        assert_eq!(listed(&mut counts, 1, 2), None, "as it was found");
        counts.ask(&service(1, 2, "app:1"), 3);
        assert_eq!(listed(&mut counts, 2, 3), None, "before the answer");
        counts.granted(&service(1, 2, "app:1"), 3);
        assert_eq!(listed(&mut counts, 2, 3), None, "after it");
        assert_eq!(listed(&mut counts, 1, 2), None, "asked for before it");
        assert_eq!(listed(&mut counts, 3, 5), Some((3, 5)));
        assert_eq!(listed(&mut counts, 4, 1), Some((5, 1)));
    }

    #[test]
    fn a_listing_from_before_the_own_change_is_no_change() {
        let mut counts = Counts::default();
        listed(&mut counts, 1, 2);
        // A label was changed by somebody, and no listing has shown it.
        counts.ask(&service(5, 2, "app:1"), 3);
        counts.granted(&service(5, 2, "app:1"), 3);
        assert_eq!(listed(&mut counts, 4, 2), None);
        assert_eq!(listed(&mut counts, 6, 3), None);
    }

    #[test]
    fn an_answer_that_was_lost_is_no_change_of_somebody_else() {
        let mut counts = Counts::default();
        listed(&mut counts, 1, 2);
        counts.ask(&service(1, 2, "app:1"), 3);
        assert_eq!(listed(&mut counts, 2, 3), None);
        counts.ask(&service(2, 3, "app:1"), 4);
        counts.denied(&service(2, 3, "app:1"));
        assert_eq!(listed(&mut counts, 3, 4), Some((3, 4)));
    }

    #[test]
    fn the_number_that_a_deployment_brings_is_no_wish() {
        let mut counts = Counts::default();
        listed(&mut counts, 1, 5);
        counts.listed(&service(2, 1, "app:2"), SystemTime::UNIX_EPOCH);
        assert_eq!(counts.changed("s1"), None);
        assert!(counts.is_as_known(&service(2, 1, "app:2")));
        assert!(!counts.is_as_known(&service(3, 2, "app:2")));
    }
}
