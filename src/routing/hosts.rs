//! Names, and whom they lead to.
//!
//! In parts that one table shares with the next: with ten thousand names, a stack that changes costs
//! the parts its own names are in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use super::table::Host;
use crate::names::{Hostname, InstanceName};

/// So many that of ten thousand names each part has some forty.
const PARTS: usize = 256;

type Part = HashMap<Hostname, Host, RandomState>;

#[derive(Clone, Debug)]
pub(super) struct Hosts {
    parts: Vec<Arc<Part>>,
    hasher: RandomState,
}

impl Default for Hosts {
    fn default() -> Self {
        let hasher = RandomState::new();
        let part = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self {
            parts: vec![part; PARTS],
            hasher,
        }
    }
}

impl Hosts {
    pub(super) fn get(&self, name: &str) -> Option<&Host> {
        self.parts.get(self.place(name))?.get(name)
    }

    pub(super) fn set(&mut self, name: Hostname, host: Host) {
        let place = self.place(name.as_str());
        if let Some(part) = self.parts.get_mut(place) {
            Arc::make_mut(part).insert(name, host);
        }
    }

    /// Takes a name from an instance that has it.
    pub(super) fn free(&mut self, name: &Hostname, of: &InstanceName) {
        let is_theirs = |host: &Host| host.instance.name() == of;
        if !self.get(name.as_str()).is_some_and(is_theirs) {
            return;
        }
        let place = self.place(name.as_str());
        if let Some(part) = self.parts.get_mut(place) {
            Arc::make_mut(part).remove(name);
        }
    }

    fn place(&self, name: &str) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
        let hash = self.hasher.hash_one(name) as usize;
        hash % PARTS
    }
}
