//! A causal history that may have gaps: what a replica, a reader or a delta has really seen.
//!
//! Canonical: actors strictly ascend, no actor has an empty set, each set is canonical; so equal histories are
//! equal bytes. A context never claims an event that was not seen: this is what keeps a write from deleting
//! values its writer never read.

use smallvec::SmallVec;

use crate::{Actor, Causality, Dot, IntervalSet, Run, VersionVector};

/// A set of dots: per actor, the counters seen, as runs. Up to four actors without gaps need no heap.
///
/// ```
/// use causal::{CausalContext, Dot};
/// let mut seen = CausalContext::new();
/// seen.insert(Dot::new("a", 1));
/// seen.insert(Dot::new("a", 3));                       // a:2 is a gap and stays one
/// assert!(!seen.contains(&Dot::new("a", 2)));
/// assert_eq!(seen.len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CausalContext<A> {
    entries: SmallVec<[(A, IntervalSet); 4]>,
}

impl<A> Default for CausalContext<A> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}

impl<A: Actor> CausalContext<A> {
    /// Nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Has nothing been seen?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many dots. O(runs).
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.iter().map(|(_, set)| set.len()).sum()
    }

    /// Per actor, ascending, the counters seen.
    pub fn iter(&self) -> impl Iterator<Item = (&A, &IntervalSet)> + '_ {
        self.entries.iter().map(|(actor, set)| (actor, set))
    }

    /// Every run with its actor, ascending.
    pub fn runs(&self) -> impl Iterator<Item = (&A, Run)> + '_ {
        self.iter().flat_map(|(actor, set)| set.runs().iter().map(move |run| (actor, *run)))
    }

    /// Every dot, ascending. O(dots): for small contexts.
    pub fn dots(&self) -> impl Iterator<Item = Dot<A>> + '_ {
        self.iter().flat_map(|(actor, set)| set.iter().map(|counter| Dot { actor: actor.clone(), counter }))
    }

    /// The counters seen of one actor, if any. O(log actors).
    #[must_use]
    pub fn of(&self, actor: &A) -> Option<&IntervalSet> {
        self.position(actor).ok().map(|at| &self.entries[at].1)
    }

    /// The greatest counter seen of `actor`, 0 if none.
    #[must_use]
    pub fn max(&self, actor: &A) -> u64 {
        self.of(actor).map_or(0, IntervalSet::max)
    }

    /// Has this event been seen? O(log actors + log runs).
    #[must_use]
    pub fn contains(&self, dot: &Dot<A>) -> bool {
        self.of(&dot.actor).is_some_and(|set| set.contains(dot.counter))
    }

    /// Sees one event; says whether it was new.
    pub fn insert(&mut self, dot: Dot<A>) -> bool {
        match self.position(&dot.actor) {
            Ok(at) => self.entries[at].1.insert(dot.counter),
            Err(at) => {
                let mut set = IntervalSet::new();
                set.insert(dot.counter);
                self.entries.insert(at, (dot.actor, set));
                true
            }
        }
    }

    /// Sees a run of one actor's events.
    pub fn insert_run(&mut self, actor: A, run: Run) {
        let mut set = IntervalSet::new();
        set.push(run);
        self.union_of(actor, &set);
    }

    /// Sees everything `other` has seen. O(runs of both).
    pub fn union(&mut self, other: &Self) {
        for (actor, set) in other.iter() {
            match self.position(actor) {
                Ok(at) => self.entries[at].1.union(set),
                Err(at) => self.entries.insert(at, (actor.clone(), set.clone())),
            }
        }
    }

    fn union_of(&mut self, actor: A, set: &IntervalSet) {
        match self.position(&actor) {
            Ok(at) => self.entries[at].1.union(set),
            Err(at) => self.entries.insert(at, (actor, set.clone())),
        }
    }

    /// What this context has seen and `other` has not. O(runs of both).
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        self.with_each(|actor, set| other.of(actor).map_or_else(|| set.clone(), |theirs| set.minus(theirs)))
    }

    /// What both have seen. O(runs of both).
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.with_each(|actor, set| other.of(actor).map_or_else(IntervalSet::new, |theirs| set.intersection(theirs)))
    }

    fn with_each(&self, f: impl Fn(&A, &IntervalSet) -> IntervalSet) -> Self {
        let entries = self.iter().map(|(actor, set)| (actor.clone(), f(actor, set)));
        Self { entries: entries.filter(|(_, set)| !set.is_empty()).collect() }
    }

    /// Has this context seen everything `other` has?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(actor, theirs)| self.of(actor).is_some_and(|set| set.covers(theirs)))
    }

    /// Set inclusion as an order. States are compared by [`Siblings::compare`](crate::Siblings::compare):
    /// contexts alone cannot tell that a value was removed.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        Causality::from_inclusions(other.covers(self), self.covers(other))
    }

    /// Forgets the dots of actors for which `keep` says no.
    pub fn retain_actors(&mut self, mut keep: impl FnMut(&A) -> bool) {
        self.entries.retain(|(actor, _)| keep(actor));
    }

    fn position(&self, actor: &A) -> Result<usize, usize> {
        self.entries.binary_search_by(|(a, _)| a.cmp(actor))
    }
}

impl<A: Actor> FromIterator<Dot<A>> for CausalContext<A> {
    fn from_iter<I: IntoIterator<Item = Dot<A>>>(dots: I) -> Self {
        let mut context = Self::new();
        for dot in dots {
            context.insert(dot);
        }
        context
    }
}

impl<A: Actor> Extend<Dot<A>> for CausalContext<A> {
    fn extend<I: IntoIterator<Item = Dot<A>>>(&mut self, dots: I) {
        for dot in dots {
            self.insert(dot);
        }
    }
}

impl<A: Actor> From<&VersionVector<A>> for CausalContext<A> {
    fn from(vector: &VersionVector<A>) -> Self {
        let entries = vector.iter().map(|(actor, n)| (actor.clone(), IntervalSet::up_to(n)));
        Self { entries: entries.collect() }
    }
}

#[cfg(feature = "serde")]
mod serde_form {
    //! A sequence of `(actor, [(gap, length)])`; reading checks that the form is canonical.

    use alloc::vec::Vec;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::CausalContext;
    use crate::codec::{gaps, runs_from_gaps};
    use crate::{Actor, IntervalSet};

    struct Gaps<'a>(&'a IntervalSet);

    impl Serialize for Gaps<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(gaps(self.0))
        }
    }

    impl<A: Serialize> Serialize for CausalContext<A> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_seq(self.entries.iter().map(|(actor, set)| (actor, Gaps(set))))
        }
    }

    impl<'de, A: Actor + Deserialize<'de>> Deserialize<'de> for CausalContext<A> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let raw: Vec<(A, Vec<(u64, u64)>)> = Vec::deserialize(deserializer)?;
            if raw.windows(2).any(|pair| pair[0].0 >= pair[1].0) {
                return Err(D::Error::custom("the actors of a causal context must strictly ascend"));
            }
            let mut context = CausalContext::new();
            for (actor, gaps) in raw {
                let set = runs_from_gaps(gaps.into_iter()).map_err(D::Error::custom)?;
                context.entries.push((actor, set));
            }
            Ok(context)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CausalContext;
    use crate::Dot;
    use alloc::collections::BTreeSet;

    fn subset(mask: u32) -> (CausalContext<u8>, BTreeSet<Dot<u8>>) {
        let all: [Dot<u8>; 6] = core::array::from_fn(|i| Dot::new(i as u8 / 3, i as u64 % 3 + 1));
        let dots: BTreeSet<_> =
            all.into_iter().enumerate().filter(|(i, _)| mask >> i & 1 == 1).map(|(_, d)| d).collect();
        (dots.iter().copied().collect(), dots)
    }

    #[test]
    fn the_algebra_agrees_with_sets_of_dots_on_all_pairs_of_two_actors_with_three_events() {
        for x in 0..64 {
            for y in 0..64 {
                let ((a, sa), (b, sb)) = (subset(x), subset(y));
                let mut union = a.clone();
                union.union(&b);
                assert_eq!(union, sa.union(&sb).copied().collect());
                assert_eq!(a.minus(&b), sa.difference(&sb).copied().collect());
                assert_eq!(a.intersection(&b), sa.intersection(&sb).copied().collect());
                assert_eq!(a.covers(&b), sb.is_subset(&sa));
                assert_eq!(a.dots().collect::<BTreeSet<_>>(), sa);
            }
        }
    }
}
