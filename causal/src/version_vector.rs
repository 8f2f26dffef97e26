//! A causal history without gaps: per actor, everything up to a counter.

use core::cmp::Ordering;

use smallvec::SmallVec;

use crate::{Actor, Causality, Dot};

/// The set `{(a, 1..=n)}` for each entry `a -> n`. Canonical: actors ascend, no entry is 0.
///
/// ```
/// use causal::{Causality, Dot, VersionVector};
/// let mut v = VersionVector::new();
/// v.insert(Dot::new("a", 2));
/// let mut w = v.clone();
/// w.insert(Dot::new("b", 1));
/// assert_eq!(v.compare(&w), Causality::Before);
/// assert!(w.contains(&Dot::new("a", 1)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VersionVector<A> {
    entries: SmallVec<[(A, u64); 4]>,
}

impl<A> Default for VersionVector<A> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}

impl<A: Actor> VersionVector<A> {
    /// The empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The greatest counter seen of `actor`, 0 if none. O(log actors).
    #[must_use]
    pub fn get(&self, actor: &A) -> u64 {
        self.position(actor).map_or(0, |at| self.entries[at].1)
    }

    /// Is the event in this history?
    #[must_use]
    pub fn contains(&self, dot: &Dot<A>) -> bool {
        dot.counter <= self.get(&dot.actor)
    }

    /// Sees everything of the dot's actor up to the dot.
    pub fn insert(&mut self, dot: Dot<A>) {
        match self.position(&dot.actor) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(dot.counter),
            Err(at) if dot.counter > 0 => self.entries.insert(at, (dot.actor, dot.counter)),
            Err(_) => {}
        }
    }

    /// Adds everything `other` has seen. O(actors of both).
    pub fn union(&mut self, other: &Self) {
        for (actor, counter) in &other.entries {
            self.insert(Dot { actor: actor.clone(), counter: *counter });
        }
    }

    /// Has this history seen everything `other` has?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.entries.iter().all(|(actor, counter)| *counter <= self.get(actor))
    }

    /// Set inclusion as an order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        Causality::from_inclusions(other.covers(self), self.covers(other))
    }

    /// The entries, actors ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&A, u64)> + '_ {
        self.entries.iter().map(|(actor, counter)| (actor, *counter))
    }

    /// Has it seen nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn position(&self, actor: &A) -> Result<usize, usize> {
        self.entries.binary_search_by(|(a, _)| if a == actor { Ordering::Equal } else { a.cmp(actor) })
    }
}

impl<A: Actor> FromIterator<(A, u64)> for VersionVector<A> {
    fn from_iter<I: IntoIterator<Item = (A, u64)>>(entries: I) -> Self {
        let mut vector = Self::new();
        for (actor, counter) in entries {
            vector.insert(Dot { actor, counter });
        }
        vector
    }
}
