//! What differs between two readings of the same thing.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

/// An entry that is another value, or only in one of the two.
#[derive(Debug)]
pub struct Difference<'m, K, V: ?Sized> {
    pub name: &'m K,
    pub before: Option<&'m Arc<V>>,
    pub now: Option<&'m Arc<V>>,
}

/// The entries that are not the very same value, in the order of their names. None is read for that:
/// of a thousand that stay as they are, none costs more than a look at its address.
pub fn differences<'m, K: Ord, V: ?Sized>(
    before: &'m BTreeMap<K, Arc<V>>,
    now: &'m BTreeMap<K, Arc<V>>,
) -> impl Iterator<Item = Difference<'m, K, V>> {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    std::iter::from_fn(move || {
        loop {
            let order = match (before.peek(), now.peek()) {
                (None, None) => return None,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some((one, _)), Some((other, _))) => one.cmp(other),
            };
            let old = before.next_if(|_| order.is_le());
            let new = now.next_if(|_| order.is_ge());
            let same = old.zip(new);
            if same.is_some_and(|((_, old), (_, new))| Arc::ptr_eq(old, new)) {
                continue;
            }
            return old.or(new).map(|(name, _)| Difference {
                name,
                before: old.map(|(_, value)| value),
                now: new.map(|(_, value)| value),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_new_gone_or_another_value_is_told_and_nothing_else() {
        let kept = Arc::new(1);
        let all = |entries: &[(&'static str, &Arc<i32>)]| -> BTreeMap<&'static str, Arc<i32>> {
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
        let found: Vec<_> = differences(&before, &now)
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
        assert_eq!(differences(&now, &now).count(), 0);
    }
}
