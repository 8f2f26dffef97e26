//! An add-wins set: an element is in it while any add of it lives; a removal removes the adds it has seen.

use causal::{Actor, DotFun};

use crate::{AwMap, Delta, DotMap, DotSet};

/// An observed-remove set in which a concurrent add wins: a map whose fields hold no more than their adds.
/// Removing is [`AwMap::remove`].
pub type AwSet<A, T> = AwMap<T, DotSet<A>>;

impl<A: Actor, T: Ord + Clone> AwSet<A, T> {
    /// The elements, ascending.
    pub fn elements(&self) -> impl Iterator<Item = &T> + '_ {
        self.store.iter().map(|(element, _)| element)
    }

    /// Is the element in the set? O(log n).
    #[must_use]
    pub fn contains(&self, element: &T) -> bool {
        self.store.get(element).is_some()
    }

    /// Adds an element. O(log n), and the delta is O(1).
    pub fn add(&mut self, actor: A, element: T) -> Delta<DotMap<T, DotSet<A>>> {
        let replaced = self.dots_of(&element);
        let add = DotFun::from_iter([(self.mint(actor), ())]);
        self.apply(DotMap::of(element, add), replaced)
    }
}
