//! Sets, and who wins when an element is added and removed at once.

use std::borrow::Borrow;

use causal::{Actor, ActorBytes, DotFun};

use crate::register::{Stamped, last};
use crate::{DotMap, DotSet, Edit, Error, KeyBytes};
use crate::{dot_store, store_bytes};

/// An element is in it while any add of it lives that no visible removal has seen: concurrent, add wins.
///
/// ```
/// use causal::Minter;
/// use crdt::{AwSet, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<AwSet<&str, &str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|set| set.add("x"))?)?;
/// let removal = b.edit(|set| set.remove("x"))?;
/// let again = a.edit(|set| set.add("x"))?;           // has not seen the removal
/// a.apply(&removal)?;
/// b.apply(&again)?;
/// assert!(a.contains("x") && b.contains("x"));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwSet<A, T> {
    adds: DotMap<T, DotSet<A>>,
}

impl<A, T> Default for AwSet<A, T> {
    fn default() -> Self {
        Self { adds: DotMap::default() }
    }
}

dot_store!(AwSet<A: Actor, T> by A, where [T: Ord + Clone] { adds: DotMap<T, DotSet<A>> });
store_bytes!(AwSet<A: ActorBytes, T> by A, "aw-set", where [T: KeyBytes] { adds: DotMap<T, DotSet<A>> });

impl<A: Actor, T: Ord + Clone> AwSet<A, T> {
    /// The elements, ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &T> + DoubleEndedIterator + '_ {
        self.adds.iter().map(|(element, _)| element)
    }

    /// Is the element in the set? O(log n).
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.adds.get(element).is_some()
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.adds.len()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.adds.is_empty()
    }
}

impl<A: Actor, T: Ord + Clone> Edit<'_, AwSet<A, T>> {
    /// Adds an element. O(log n), and the delta is O(1).
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn add(&mut self, element: impl Into<T>) -> Result<(), Error<A>> {
        self.field(|set| &set.adds, |set| &mut set.adds).at(element.into()).replace(()).map(drop)
    }

    /// Removes an element. O(log n).
    ///
    /// # Errors
    /// None today: it needs no dot.
    pub fn remove(&mut self, element: impl Into<T>) -> Result<(), Error<A>> {
        self.field(|set| &set.adds, |set| &mut set.adds).at(element.into()).clear()
    }
}

/// An element is in it if it was added and no removal lives that no visible add has seen: concurrent, remove wins. A
/// removal leaves a dot behind until an add has seen it.
///
/// ```
/// use causal::Minter;
/// use crdt::{Replica, RwSet};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<RwSet<&str, &str>>::new(Minter::once(name)));
/// let (add, removal) = (a.edit(|set| set.add("x"))?, b.edit(|set| set.remove("x"))?);
/// a.apply(&removal)?;
/// b.apply(&add)?;
/// assert!(!a.contains("x") && !b.contains("x"));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RwSet<A, T> {
    /// Adds (true) and removals (false) that nothing has seen.
    said: DotMap<T, DotFun<A, bool>>,
}

impl<A, T> Default for RwSet<A, T> {
    fn default() -> Self {
        Self { said: DotMap::default() }
    }
}

dot_store!(RwSet<A: Actor, T> by A, where [T: Ord + Clone] { said: DotMap<T, DotFun<A, bool>> });
store_bytes!(RwSet<A: ActorBytes, T> by A, "rw-set", where [T: KeyBytes] {
    said: DotMap<T, DotFun<A, bool>>
});

fn stays<A: Actor>(said: &DotFun<A, bool>) -> bool {
    said.iter().all(|(_, added)| *added)
}

impl<A: Actor, T: Ord + Clone> RwSet<A, T> {
    /// The elements, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        self.said.iter().filter(|(_, said)| stays(said)).map(|(element, _)| element)
    }

    /// Is the element in the set? O(log n).
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.said.get(element).is_some_and(stays)
    }
}

impl<A: Actor, T: Ord + Clone> Edit<'_, RwSet<A, T>> {
    /// Adds an element. O(log n), and the delta is O(1).
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn add(&mut self, element: impl Into<T>) -> Result<(), Error<A>> {
        self.field(|set| &set.said, |set| &mut set.said).at(element.into()).replace(true).map(drop)
    }

    /// Removes an element, also one that is not here yet but may be added elsewhere at this moment. O(log n).
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn remove(&mut self, element: impl Into<T>) -> Result<(), Error<A>> {
        self.field(|set| &set.said, |set| &mut set.said).at(element.into()).replace(false).map(drop)
    }
}

/// What was said last of an element holds: by causality, and between concurrent ones by hybrid clock, then actor. A
/// removal leaves a dot behind.
///
/// ```
/// use causal::Minter;
/// use crdt::{LwwSet, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<LwwSet<&str, &str>>::new(Minter::once(name)));
/// let add = a.edit_at(1_000, |set| set.add("x"))?;
/// let removal = b.edit_at(2_000, |set| set.remove("x"))?;
/// a.apply(&removal)?;
/// b.apply(&add)?;
/// assert!(!a.contains("x") && !b.contains("x"));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LwwSet<A, T> {
    said: DotMap<T, DotFun<A, Stamped<bool>>>,
}

impl<A, T> Default for LwwSet<A, T> {
    fn default() -> Self {
        Self { said: DotMap::default() }
    }
}

dot_store!(LwwSet<A: Actor, T> by A, where [T: Ord + Clone] { said: DotMap<T, DotFun<A, Stamped<bool>>> });
store_bytes!(LwwSet<A: ActorBytes, T> by A, "lww-set", where [T: KeyBytes] {
    said: DotMap<T, DotFun<A, Stamped<bool>>>
});

impl<A: Actor, T: Ord + Clone> LwwSet<A, T> {
    /// The elements, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        let added = |said: &DotFun<A, Stamped<bool>>| last(said).is_some_and(|stamped| stamped.value);
        self.said.iter().filter(move |(_, said)| added(said)).map(|(element, _)| element)
    }

    /// Is the element in the set? O(log n).
    #[must_use]
    pub fn contains<Q: Ord + ?Sized>(&self, element: &Q) -> bool
    where
        T: Borrow<Q>,
    {
        self.said.get(element).and_then(last).is_some_and(|stamped| stamped.value)
    }
}

impl<A: Actor, T: Ord + Clone> Edit<'_, LwwSet<A, T>> {
    /// Adds an element. O(log n), and the delta is O(1).
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn add(&mut self, element: impl Into<T>) -> Result<(), Error<A>> {
        self.say(element.into(), true)
    }

    /// Removes an element. O(log n), and the delta is O(1).
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn remove(&mut self, element: impl Into<T>) -> Result<(), Error<A>> {
        self.say(element.into(), false)
    }

    fn say(&mut self, element: T, value: bool) -> Result<(), Error<A>> {
        let stamped = Stamped { at: self.now(), value };
        self.field(|set| &set.said, |set| &mut set.said).at(element).replace(stamped).map(drop)
    }
}
