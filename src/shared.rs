//! Maps that stages hand on to one another.
//!
//! The values are shared, and so is the map: a copy costs nothing, a change costs what one entry costs,
//! and two of them differ in what is not the very same value. Among a thousand entries, of which one
//! changes, nobody looks at the others.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use imbl::shared_ptr::DefaultSharedPtr;

/// A persistent map, in the order of its keys, of values behind an [`Arc`].
pub struct Map<K, V: ?Sized>(OrdMap<K, Same<V>>);

/// A persistent list of values behind an [`Arc`].
pub type List<V> = imbl::Vector<Arc<V>>;

/// A value that is equal to itself alone.
struct Same<V: ?Sized>(Arc<V>);

/// An entry that is another value, or only in one of two maps.
#[derive(Debug)]
pub struct Difference<'m, K, V: ?Sized> {
    pub name: &'m K,
    pub before: Option<&'m Arc<V>>,
    pub now: Option<&'m Arc<V>>,
}

impl<K: Ord + Clone, V: ?Sized> Map<K, V> {
    pub fn get<Q: Ord + ?Sized>(&self, name: &Q) -> Option<&Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.get(name).map(|Same(value)| value)
    }

    pub fn get_key_value<Q: Ord + ?Sized>(&self, name: &Q) -> Option<(&K, &Arc<V>)>
    where
        K: Borrow<Q>,
    {
        let found = self.0.get_key_value(name);
        found.map(|(name, Same(value))| (name, value))
    }

    pub fn contains_key<Q: Ord + ?Sized>(&self, name: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.0.contains_key(name)
    }

    /// Returns what was there before.
    pub fn insert(&mut self, name: K, value: Arc<V>) -> Option<Arc<V>> {
        self.0.insert(name, Same(value)).map(|Same(value)| value)
    }

    /// The value to change, a new one where there is none. What others have of it stays as it is.
    pub fn change(&mut self, name: K) -> &mut V
    where
        V: Clone + Default,
    {
        let Same(value) = self.0.entry(name).or_insert_with(|| Same(Arc::default()));
        Arc::make_mut(value)
    }

    /// Returns what was there.
    pub fn remove<Q: Ord + ?Sized>(&mut self, name: &Q) -> Option<Arc<V>>
    where
        K: Borrow<Q>,
    {
        self.0.remove(name).map(|Same(value)| value)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> Iter<'_, K, V> {
        self.into_iter()
    }

    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.iter().map(|(name, _)| name)
    }

    pub fn values(&self) -> impl Iterator<Item = &Arc<V>> + Clone {
        self.iter().map(|(_, value)| value)
    }

    /// The entries that are not the very same value in the newer map, in the order of their names. None
    /// is read for that, and what the two maps share is passed over.
    pub fn differences<'m>(&'m self, now: &'m Self) -> impl Iterator<Item = Difference<'m, K, V>> {
        self.0.diff(&now.0).map(|item| {
            let (name, before, now) = match item {
                DiffItem::Add(name, new) => (name, None, Some(new)),
                DiffItem::Remove(name, old) => (name, Some(old), None),
                DiffItem::Update { old, new } => (new.0, Some(old.1), Some(new.1)),
            };
            let value = |Same(value): &'m Same<V>| value;
            Difference {
                name,
                before: before.map(value),
                now: now.map(value),
            }
        })
    }
}

impl<V: ?Sized> Clone for Same<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<V: ?Sized> PartialEq for Same<V> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl<K, V: ?Sized> Clone for Map<K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<K, V: ?Sized> Default for Map<K, V> {
    fn default() -> Self {
        Self(OrdMap::new())
    }
}

impl<K: Ord + Clone + fmt::Debug, V: fmt::Debug + ?Sized> fmt::Debug for Map<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// As of the maps of the standard library: panics where there is no such entry.
impl<K: Ord + Clone + Borrow<Q>, Q: Ord + ?Sized, V: ?Sized> Index<&Q> for Map<K, V> {
    type Output = Arc<V>;

    fn index(&self, name: &Q) -> &Arc<V> {
        let Same(value) = &self.0[name];
        value
    }
}

/// Equal entries; what is shared is not read.
impl<K: Ord + Clone, V: PartialEq + ?Sized> PartialEq for Map<K, V> {
    fn eq(&self, other: &Self) -> bool {
        let mut differences = self.differences(other);
        differences.all(|found| found.before == found.now)
    }
}

impl<K: Ord + Clone, V: Eq + ?Sized> Eq for Map<K, V> {}

impl<K: Ord + Clone, V: ?Sized, const N: usize> From<[(K, Arc<V>); N]> for Map<K, V> {
    fn from(entries: [(K, Arc<V>); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K: Ord + Clone, V: ?Sized> FromIterator<(K, Arc<V>)> for Map<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, Arc<V>)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        Self(entries.map(|(name, value)| (name, Same(value))).collect())
    }
}

impl<K: Ord + Clone, V: ?Sized> Extend<(K, Arc<V>)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, Arc<V>)>>(&mut self, entries: I) {
        let entries = entries.into_iter();
        self.0
            .extend(entries.map(|(name, value)| (name, Same(value))));
    }
}

impl<'m, K: Ord + Clone, V: ?Sized> IntoIterator for &'m Map<K, V> {
    type Item = (&'m K, &'m Arc<V>);
    type IntoIter = Iter<'m, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        Iter(self.0.iter())
    }
}

/// The entries of a [`Map`], in the order of their keys.
pub struct Iter<'m, K, V: ?Sized>(imbl::ordmap::Iter<'m, K, Same<V>, DefaultSharedPtr>);

impl<'m, K, V: ?Sized> Iterator for Iter<'m, K, V> {
    type Item = (&'m K, &'m Arc<V>);

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|(name, Same(value))| (name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.size_hint()
    }
}

impl<K, V: ?Sized> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_gone_or_another_value_is_told_and_nothing_else() {
        let kept = Arc::new(1);
        let all = |entries: &[(&'static str, &Arc<i32>)]| -> Map<&'static str, i32> {
            let entries = entries.iter();
            entries
                .map(|(name, value)| (*name, Arc::clone(value)))
                .collect()
        };
        let before = all(&[
            ("b", &kept),
            ("c", &kept),
            ("d", &Arc::new(3)),
            ("f", &kept),
        ]);
        let now = all(&[
            ("a", &kept),
            ("b", &kept),
            ("c", &kept),
            ("d", &Arc::new(3)),
            ("g", &kept),
        ]);
        let found: Vec<_> = before
            .differences(&now)
            .map(|found| {
                (
                    *found.name,
                    found.before.map(|one| **one),
                    found.now.map(|one| **one),
                )
            })
            .collect();
        let expected = [
            ("a", None, Some(1)),
            ("d", Some(3), Some(3)),
            ("f", Some(1), None),
            ("g", None, Some(1)),
        ];
        assert_eq!(found, expected);
        assert_eq!(now.differences(&now).count(), 0);
        assert_ne!(before, now);
    }

    #[test]
    fn a_copy_is_not_touched_by_what_happens_to_the_other() {
        let mut now: Map<u32, u32> = (0..1_000).map(|n| (n, Arc::new(n))).collect();
        let before = now.clone();
        now.insert(500, Arc::new(1));
        now.remove(&501);
        let changed: Vec<u32> = before.differences(&now).map(|found| *found.name).collect();
        assert_eq!(changed, [500, 501]);
        assert_eq!(before.get(&500).map(|value| **value), Some(500));
        assert_eq!((before.len(), now.len()), (1_000, 999));
        now.extend([(500, Arc::new(500)), (501, Arc::new(501))]);
        assert_eq!(before, now, "equal values are equal, wherever they are");
        assert_eq!(before.differences(&now).count(), 2);
    }
}
