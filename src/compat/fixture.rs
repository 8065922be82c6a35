//! What tests of the room begin with: containers that say something, and what comes of it.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::asking::Asking;
use super::{Compat, Ruling};
use crate::config::{self, Config, Instance};
use crate::inventory::{Claims, Inventory, Origin, Phase, Reach, Unit};
use crate::names::{InstanceName, ReplicaId};

/// How much was looked at.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Work {
    pub(super) read: usize,
    pub(super) judged: usize,
}

impl Work {
    pub(super) fn read(&mut self) {
        self.read += 1;
    }

    pub(super) fn judged(&mut self) {
        self.judged += 1;
    }
}

impl Compat {
    /// Has everything read, settled and judged anew, but for who has which name.
    pub(super) fn judge_all_again(&mut self) {
        self.config = None;
        self.owners.touch_all();
        for known in self.stacks.values_mut() {
            known.reading = None;
            known.verdict = None;
            known.outcome = Arc::default();
        }
        self.asking = Asking::default();
        self.shaping.clear();
    }
}

/// Listings one after the other, as the control plane sees them.
pub(super) struct Room {
    pub(super) compat: Compat,
    pub(super) config: Arc<Config>,
    pub(super) inventory: Inventory,
    pub(super) now: Instant,
    pub(super) ruling: Arc<Ruling>,
}

pub(super) fn unit(name: &str, values: &[(&str, &str)]) -> Unit {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Unit {
        id: ReplicaId::new(name, 1),
        name: name.to_owned(),
        image: "image".to_owned(),
        make: String::new(),
        phase: Phase::Running,
        dismissed: false,
        since: SystemTime::UNIX_EPOCH,
        reach: Reach::At([10, 0, 0, 1].into()),
        networks: Vec::new(),
        mounts: Vec::new(),
        ports: vec![8000],
        health: None,
        task: None,
        origin: Origin::Declared { number: 1 },
        claims: Arc::new(Claims {
            values: values.iter().map(owned).collect(),
            left_out: Vec::new(),
        }),
    }
}

impl Room {
    pub(super) fn new(mode: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("usher.toml");
        let text = format!("[engine]\nnames-from-containers = \"{mode}\"\n{tables}");
        std::fs::write(&path, text).expect("written");
        let loaded = config::load(&path, None);
        assert_eq!(loaded.issues, Vec::new());
        Self::with(Arc::new(loaded.config.expect("good")))
    }

    pub(super) fn with(config: Arc<Config>) -> Self {
        Self {
            compat: Compat::default(),
            config,
            inventory: Inventory::default(),
            now: Instant::now(),
            ruling: Arc::default(),
        }
    }

    /// Puts these containers in the place of those the service had, and settles.
    pub(super) fn set(&mut self, stack: &str, service: &str, units: Vec<Unit>) {
        let stack = self.inventory.stacks.change(stack.parse().expect("name"));
        let services = &mut stack.services;
        services.insert(service.parse().expect("name"), units);
        self.settle();
    }

    /// One container of the stack's `web`.
    pub(super) fn web(&mut self, stack: &str, values: &[(&str, &str)]) {
        self.set(stack, "web", vec![unit(&format!("{stack}_web_1"), values)]);
    }

    pub(super) fn settle(&mut self) {
        let declared = self.config.instances.iter();
        let declared = declared.map(|(name, instance)| (name.clone(), Arc::clone(instance)));
        let declared = declared.collect();
        let Self {
            compat,
            config,
            inventory,
            now,
            ..
        } = self;
        self.ruling = compat.settle(*now, config, inventory, &declared);
    }

    pub(super) fn instance(&self, name: &str) -> &Arc<Instance> {
        let found = self.ruling.instances.get(name);
        found.unwrap_or_else(|| panic!("{name}: {:?}", self.ruling))
    }

    pub(super) fn domains(&self, name: &str) -> Vec<String> {
        let domains = &self.instance(name).site.domains;
        domains.iter().map(ToString::to_string).collect()
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.ruling
            .instances
            .keys()
            .map(InstanceName::as_str)
            .collect()
    }

    /// Everything that was said, at an instance or a stack.
    pub(super) fn told(&self, whose: &str) -> String {
        let notes = self.ruling.notes.get(whose);
        let told = notes.into_iter().chain(self.ruling.refused.get(whose));
        told.flat_map(|told| told.iter().cloned())
            .collect::<Vec<_>>()
            .join("\n")
    }
}

pub(super) fn host(name: &'static str) -> [(&'static str, &'static str); 1] {
    [("VIRTUAL_HOST", name)]
}

pub(super) const CONGRESS: &str = "[[instance]]\nname = \"congress\"\n\
    domains = [\"congress.example.org\", \"*.slides.example.org\"]\n\
    [instance.service.web]\nrole = \"sessions\"\n";
