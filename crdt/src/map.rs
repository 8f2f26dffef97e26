//! Maps to any depth: each key a type of its own.

use std::borrow::Borrow;

use crate::{DotMap, DotStore, Edit, Error, KeyBytes, StoreBytes};
use crate::{dot_store, store_bytes};

/// A map from keys to values of any type of this crate. Removing a key resets what was seen of it; concurrent updates
/// stay, with only their own effect.
///
/// ```
/// use causal::Minter;
/// use crdt::{AwMap, AwSet, Counter, Replica};
/// type Carts = AwMap<String, AwMap<String, Counter<&'static str>>>;
/// let [mut phone, mut laptop] = ["phone", "laptop"].map(|name| Replica::<Carts>::new(Minter::once(name)));
/// laptop.apply(&phone.edit(|carts| carts.at("ann").at("milk").add(2))?)?;
/// let cleared = laptop.edit(|carts| carts.remove("ann"))?;
/// let more = phone.edit(|carts| carts.at("ann").at("milk").add(1))?;   // has not seen that
/// laptop.apply(&more)?;
/// phone.apply(&cleared)?;
/// let milk = |carts: &Carts| carts.get("ann").and_then(|cart| cart.get("milk")).map(Counter::value);
/// assert_eq!((milk(&phone), milk(&laptop)), (Some(1), Some(1)));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwMap<K, S> {
    entries: DotMap<K, S>,
}

impl<K, S> Default for AwMap<K, S> {
    fn default() -> Self {
        Self { entries: DotMap::default() }
    }
}

dot_store!(AwMap<K, S: DotStore> by S::Actor, where [K: Ord + Clone] { entries: DotMap<K, S> });
store_bytes!(AwMap<K, S: StoreBytes> by S::Actor, "aw-map", where [K: KeyBytes] {
    entries: DotMap<K, S>
});

impl<K: Ord + Clone, S: DotStore> AwMap<K, S> {
    /// What a key holds, if anything lives there. O(log n).
    #[must_use]
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&S>
    where
        K: Borrow<Q>,
    {
        self.entries.get(key).filter(|store| store.shows())
    }

    /// The keys under which something lives, ascending, with what it is.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&K, &S)> + '_ {
        self.entries.iter().filter(|(_, store)| store.shows())
    }

    /// How many keys. O(n).
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

impl<K: Ord + Clone, S: DotStore> Edit<'_, AwMap<K, S>> {
    /// The value under a key, to be changed. A key is there as soon as something lives under it.
    pub fn at(&mut self, key: impl Into<K>) -> Edit<'_, S> {
        self.entries().into_at(key.into())
    }

    /// Removes a key, with everything seen under it. O(log n + what is removed).
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if a dot is needed (a counter has to remember its reset) and there is
    /// none.
    pub fn remove(&mut self, key: impl Into<K>) -> Result<(), Error<S::Actor>> {
        self.entries().at(key.into()).clear()
    }

    fn entries(&mut self) -> Edit<'_, DotMap<K, S>> {
        self.field(|map| &map.entries, |map| &mut map.entries)
    }
}
