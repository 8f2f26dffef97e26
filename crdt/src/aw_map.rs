//! A map of fields, each a type of its own: removing a field resets what was seen of it, concurrent updates stay.

use causal::{Actor, CausalContext, DotFun};

use crate::{Causal, Delta, DotMap, DotStore};

/// A map from fields to dot stores.
///
/// ```
/// use crdt::AwMap;
/// use causal::DotFun;
/// let mut user: AwMap<&str, DotFun<&str, &str>> = AwMap::new();
/// let mut other = user.clone();
/// other.merge_delta(&user.write("a", "name", "Ann"))?;
/// other.merge_delta(&user.remove(&"name"))?;
/// assert_eq!(other.get(&"name"), None);
/// # Ok::<(), causal::DoubleSpentDot<&str>>(())
/// ```
pub type AwMap<K, S> = Causal<DotMap<K, S>>;

impl<K: Ord + Clone, S: DotStore> AwMap<K, S> {
    /// What lives in a field.
    #[must_use]
    pub fn get(&self, field: &K) -> Option<&S> {
        self.store.get(field)
    }

    /// The fields that have something live, ascending.
    pub fn fields(&self) -> impl Iterator<Item = &K> + '_ {
        self.store.iter().map(|(field, _)| field)
    }

    /// Removes everything seen of a field; concurrent updates of it stay, with only their own effect.
    pub fn remove(&mut self, field: &K) -> Delta<DotMap<K, S>> {
        let replaced = self.dots_of(field);
        let emptied = self.store.get(field).map(DotStore::emptied).unwrap_or_default();
        self.apply(DotMap::of(field.clone(), emptied), replaced)
    }

    pub(crate) fn dots_of(&self, field: &K) -> CausalContext<S::Actor> {
        let mut dots = CausalContext::new();
        if let Some(store) = self.store.get(field) {
            store.collect_dots(&mut dots);
        }
        dots
    }
}

impl<A: Actor, K: Ord + Clone, V: Clone + PartialEq> AwMap<K, DotFun<A, V>> {
    /// Writes a register field: replaces the siblings seen of it.
    pub fn write(&mut self, actor: A, field: K, value: V) -> Delta<DotMap<K, DotFun<A, V>>> {
        let replaced = self.dots_of(&field);
        let write = DotFun::from_iter([(self.mint(actor), value)]);
        self.apply(DotMap::of(field, write), replaced)
    }
}
