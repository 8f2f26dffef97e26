//! A sorted map that mostly has one entry: it needs no memory of its own until there are two.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry};
use std::ops::{Bound, RangeBounds};

#[derive(Clone, Debug, Default)]
pub(crate) enum Few<K, V> {
    #[default]
    None,
    One(K, V),
    Many(BTreeMap<K, V>),
}

impl<K, V> Few<K, V> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Few::None => 0,
            Few::One(..) => 1,
            Few::Many(entries) => entries.len(),
        }
    }

    /// The entries, ascending.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        match self {
            Few::None => Iter::One(None),
            Few::One(key, value) => Iter::One(Some((key, value))),
            Few::Many(entries) => Iter::Many(entries.iter()),
        }
    }
}

impl<K: Ord, V> Few<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Few::None => true,
            Few::One(..) => false,
            Few::Many(entries) => entries.is_empty(),
        }
    }

    /// The entries of a range of keys, ascending.
    pub(crate) fn range(&self, keys: impl RangeBounds<K>) -> impl DoubleEndedIterator<Item = (&K, &V)> + '_ {
        let (one, many) = match self {
            Few::None => (None, None),
            Few::One(key, value) => (keys.contains(key).then_some((key, value)), None),
            Few::Many(_) if is_empty_range(&keys) => (None, None), // of which the map would panic
            Few::Many(entries) => (None, Some(entries.range(keys))),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self {
            Few::None => None,
            Few::One(only, value) => (only.borrow() == key).then_some(value),
            Few::Many(entries) => entries.get(key),
        }
    }

    /// Changes what is under a key, which may be nothing; then it stays if `change` says so.
    pub(crate) fn update(&mut self, key: &K, change: impl FnOnce(&mut V) -> bool)
    where
        K: Clone,
        V: Default,
    {
        if let Few::Many(entries) = self {
            match entries.entry(key.clone()) {
                Entry::Vacant(vacant) => {
                    let mut value = V::default();
                    if change(&mut value) {
                        vacant.insert(value);
                    }
                }
                Entry::Occupied(mut occupied) => {
                    if !change(occupied.get_mut()) {
                        occupied.remove();
                    }
                }
            }
            return;
        }
        let mut value = self.remove(key).unwrap_or_default();
        if change(&mut value) {
            self.insert(key.clone(), value);
        }
    }

    /// What is under a key, made if there is nothing.
    pub(crate) fn get_or_default(&mut self, key: K) -> &mut V
    where
        K: Clone,
        V: Default,
    {
        if !matches!(self, Few::Many(_)) && self.get(&key).is_none() {
            self.insert(key.clone(), V::default());
        }
        match self {
            Few::Many(entries) => entries.entry(key).or_default(),
            Few::One(_, value) => value,
            Few::None => unreachable!("an entry was put in"),
        }
    }

    /// Keeps the entries that `keep` wants.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&K, &mut V) -> bool) {
        match self {
            Few::None => {}
            Few::One(key, value) => {
                if !keep(key, value) {
                    *self = Few::None;
                }
            }
            Few::Many(entries) => entries.retain(keep),
        }
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> + '_ {
        let (one, many) = match self {
            Few::None => (None, None),
            Few::One(key, value) => (Some((&*key, value)), None),
            Few::Many(entries) => (None, Some(entries)),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }

    pub(crate) fn values(&self) -> impl ExactSizeIterator<Item = &V> + Clone + '_ {
        self.iter().map(|(_, value)| value)
    }

    pub(crate) fn last_up_to(&self, key: &K) -> Option<(&K, &V)> {
        match self {
            Few::None => None,
            Few::One(only, value) => (only <= key).then_some((only, value)),
            Few::Many(entries) => entries.range(..=key).next_back(),
        }
    }

    pub(crate) fn last_before_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Few::None => None,
            Few::One(only, value) => (&*only < key).then_some(value),
            Few::Many(entries) => entries.range_mut(..key).next_back().map(|(_, value)| value),
        }
    }

    pub(crate) fn first_from(&self, key: &K) -> Option<(&K, &V)> {
        match self {
            Few::None => None,
            Few::One(only, value) => (only >= key).then_some((only, value)),
            Few::Many(entries) => entries.range(key..).next(),
        }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        *self = match std::mem::take(self) {
            Few::None => Few::One(key, value),
            Few::One(only, _) if only == key => Few::One(key, value),
            Few::One(only, first) => Few::Many(BTreeMap::from([(only, first), (key, value)])),
            Few::Many(mut entries) => {
                entries.insert(key, value);
                Few::Many(entries)
            }
        };
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        match self {
            Few::One(only, _) if only == key => match std::mem::take(self) {
                Few::One(_, value) => Some(value),
                _ => None,
            },
            Few::Many(entries) => entries.remove(key),
            _ => None,
        }
    }
}

fn is_empty_range<K: Ord>(keys: &impl RangeBounds<K>) -> bool {
    match (keys.start_bound(), keys.end_bound()) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Excluded(start), Bound::Excluded(end)) => start >= end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => start > end,
    }
}

/// However many they are, what counts is what they are.
impl<K: PartialEq, V: PartialEq> PartialEq for Few<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<K: Eq, V: Eq> Eq for Few<K, V> {}

impl<K: Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut entries = entries.into_iter();
        match (entries.next(), entries.next()) {
            (None, _) => Few::None,
            (Some((key, value)), None) => Few::One(key, value),
            (Some(first), Some(second)) => Few::Many([first, second].into_iter().chain(entries).collect()),
        }
    }
}

/// The entries, ascending.
#[derive(Debug)]
pub(crate) enum Iter<'a, K, V> {
    One(Option<(&'a K, &'a V)>),
    Many(btree_map::Iter<'a, K, V>),
}

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        match self {
            Iter::One(entry) => Iter::One(*entry),
            Iter::Many(entries) => Iter::Many(entries.clone()),
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Iter::One(entry) => entry.take(),
            Iter::Many(entries) => entries.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match self {
            Iter::One(entry) => usize::from(entry.is_some()),
            Iter::Many(entries) => entries.len(),
        };
        (len, Some(len))
    }
}

impl<K, V> DoubleEndedIterator for Iter<'_, K, V> {
    fn next_back(&mut self) -> Option<Self::Item> {
        match self {
            Iter::One(entry) => entry.take(),
            Iter::Many(entries) => entries.next_back(),
        }
    }
}

impl<K, V> ExactSizeIterator for Iter<'_, K, V> {}

#[cfg(test)]
mod tests {
    use super::Few;
    use quickcheck::quickcheck;
    use std::collections::BTreeMap;
    use std::ops::Bound;

    quickcheck! {
        /// Steps on a small domain, so that it often has none, one or two entries.
        fn it_is_a_map(steps: Vec<(u8, u8, u16)>) -> bool {
            let (mut few, mut model) = (Few::default(), BTreeMap::new());
            for (kind, key, value) in steps {
                let key = key % 4;
                match kind % 5 {
                    0 => {
                        few.insert(key, value);
                        model.insert(key, value);
                    }
                    1 => assert_eq!(few.remove(&key), model.remove(&key)),
                    2 => {
                        *few.get_or_default(key) ^= value;
                        *model.entry(key).or_default() ^= value;
                    }
                    3 => {
                        let keep = value % 3 > 0;
                        few.update(&key, |it| {
                            *it = value;
                            keep
                        });
                        if keep {
                            model.insert(key, value);
                        } else {
                            model.remove(&key);
                        }
                    }
                    _ => {
                        few.retain(|other, _| *other != key);
                        model.retain(|other, _| *other != key);
                    }
                }
                assert!(few.iter().eq(&model) && few.iter().rev().eq(model.iter().rev()) && few.len() == model.len());
                let backwards = (Bound::Included(3), Bound::Excluded(1));
                assert!(few.range(1..3).eq(model.range(1..3)) && few.range(backwards).count() == 0);
                assert_eq!(few.get(&key), model.get(&key));
                assert_eq!(few.last_up_to(&key), model.range(..=key).next_back());
                assert_eq!(few.first_from(&key), model.range(key..).next());
                assert_eq!(few.last_before_mut(&key).map(|it| *it), model.range(..key).next_back().map(|it| *it.1));
                assert_eq!(few, model.clone().into_iter().collect());
            }
            true
        }
    }
}
