//! Names, and whom they lead to.
//!
//! In parts that one table shares with the next: with ten thousand names, a stack that changes costs
//! the parts its own names are in.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::names::Hostname;

/// So many that of ten thousand names each part has some forty.
const PARTS: usize = 256;

type Part<T> = HashMap<Hostname, T, RandomState>;

#[derive(Clone, Debug)]
pub(super) struct Hosts<T> {
    parts: Vec<Arc<Part<T>>>,
    hasher: RandomState,
}

impl<T> Default for Hosts<T> {
    fn default() -> Self {
        let hasher = RandomState::new();
        let part = Arc::new(HashMap::with_hasher(hasher.clone()));
        Self {
            parts: vec![part; PARTS],
            hasher,
        }
    }
}

impl<T: Clone> Hosts<T> {
    pub(super) fn get(&self, name: &str) -> Option<&T> {
        self.parts.get(self.place(name))?.get(name)
    }

    pub(super) fn set(&mut self, name: Hostname, leads_to: T) {
        let place = self.place(name.as_str());
        if let Some(part) = self.parts.get_mut(place) {
            Arc::make_mut(part).insert(name, leads_to);
        }
    }

    /// Takes a name from whoever has it, if that is who is meant.
    pub(super) fn free(&mut self, name: &Hostname, is_theirs: impl Fn(&T) -> bool) {
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
