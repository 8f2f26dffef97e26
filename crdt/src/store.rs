//! Dot stores: which dots live where. They hold no context of their own; that stands once at the root.

use std::collections::BTreeMap;

use causal::{Actor, CausalContext, DotFun, DoubleSpentDot};

/// A set of live dots without payloads.
pub type DotSet<A> = DotFun<A, ()>;

/// A structure of live dots. (Almeida, Shoker, Baquero 2018, section 7, with payloads checked on merge.)
pub trait DotStore: Clone + Default {
    /// Who writes.
    type Actor: Actor;

    /// Merges a whole state: what it lacks and has seen is removed here.
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two payloads; the parts merged before it stay merged, and merging again
    /// after the cause is gone is harmless.
    fn join(
        &mut self,
        own: &CausalContext<Self::Actor>,
        other: &Self,
        theirs: &CausalContext<Self::Actor>,
    ) -> Result<(), DoubleSpentDot<Self::Actor>>;

    /// Merges a delta: only the entries it names are touched. O(entries of the delta).
    ///
    /// # Errors
    /// As [`DotStore::join`].
    fn join_delta(
        &mut self,
        own: &CausalContext<Self::Actor>,
        delta: &Self,
        theirs: &CausalContext<Self::Actor>,
    ) -> Result<(), DoubleSpentDot<Self::Actor>>;

    /// Does nothing live in it?
    fn is_bottom(&self) -> bool;

    /// Adds every live dot to `out`.
    fn collect_dots(&self, out: &mut CausalContext<Self::Actor>);

    /// The part of a delta that empties this store: the same entries, nothing live in them.
    #[must_use]
    fn emptied(&self) -> Self;
}

impl<A: Actor, V: Clone + PartialEq> DotStore for DotFun<A, V> {
    type Actor = A;

    fn join(
        &mut self,
        own: &CausalContext<A>,
        other: &Self,
        theirs: &CausalContext<A>,
    ) -> Result<(), DoubleSpentDot<A>> {
        DotFun::join(self, own, other, theirs).map(drop)
    }

    fn join_delta(
        &mut self,
        own: &CausalContext<A>,
        delta: &Self,
        theirs: &CausalContext<A>,
    ) -> Result<(), DoubleSpentDot<A>> {
        DotStore::join(self, own, delta, theirs)
    }

    fn is_bottom(&self) -> bool {
        self.is_empty()
    }

    fn collect_dots(&self, out: &mut CausalContext<A>) {
        out.extend(self.dots().cloned());
    }

    fn emptied(&self) -> Self {
        Self::new()
    }
}

/// A store per key. In a state no entry is empty; in a delta an empty entry says "touched, nothing left".
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(bound(deserialize = "K: Ord + serde::Deserialize<'de>, S: serde::Deserialize<'de>"))
)]
pub struct DotMap<K, S> {
    entries: BTreeMap<K, S>,
}

impl<K, S> Default for DotMap<K, S> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<K: Ord + Clone, S: DotStore> DotMap<K, S> {
    /// A map of one entry, as deltas have.
    #[must_use]
    pub fn of(key: K, store: S) -> Self {
        Self { entries: BTreeMap::from([(key, store)]) }
    }

    /// The entries, keys ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &S)> + '_ {
        self.entries.iter()
    }

    /// The store of a key.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&S> {
        self.entries.get(key)
    }

    /// How many entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Is there no entry?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn join_entry(
        &mut self,
        key: &K,
        join: impl FnOnce(&mut S) -> Result<(), DoubleSpentDot<S::Actor>>,
    ) -> Result<(), DoubleSpentDot<S::Actor>> {
        let store = self.entries.entry(key.clone()).or_default();
        let joined = join(store);
        if store.is_bottom() {
            self.entries.remove(key);
        }
        joined
    }
}

impl<K: Ord + Clone, S: DotStore> DotStore for DotMap<K, S> {
    type Actor = S::Actor;

    fn join(
        &mut self,
        own: &CausalContext<S::Actor>,
        other: &Self,
        theirs: &CausalContext<S::Actor>,
    ) -> Result<(), DoubleSpentDot<S::Actor>> {
        let nothing = S::default();
        let keys: Vec<K> = self.entries.keys().chain(other.entries.keys()).cloned().collect();
        for key in &keys {
            let their_store = other.entries.get(key).unwrap_or(&nothing);
            self.join_entry(key, |store| store.join(own, their_store, theirs))?;
        }
        Ok(())
    }

    fn join_delta(
        &mut self,
        own: &CausalContext<S::Actor>,
        delta: &Self,
        theirs: &CausalContext<S::Actor>,
    ) -> Result<(), DoubleSpentDot<S::Actor>> {
        for (key, part) in &delta.entries {
            self.join_entry(key, |store| store.join_delta(own, part, theirs))?;
        }
        Ok(())
    }

    fn is_bottom(&self) -> bool {
        self.entries.is_empty()
    }

    fn collect_dots(&self, out: &mut CausalContext<S::Actor>) {
        self.entries.values().for_each(|store| store.collect_dots(out));
    }

    fn emptied(&self) -> Self {
        Self { entries: self.entries.iter().map(|(key, store)| (key.clone(), store.emptied())).collect() }
    }
}
