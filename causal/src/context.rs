//! A causal history that may have gaps: what a replica, a reader or a delta has really seen.
//!
//! Canonical: actors strictly ascend, no actor has an empty set, each set is canonical; so equal histories are
//! equal bytes. A context never claims an event that was not seen: this is what keeps a write from deleting
//! values its writer never read.

use crate::actor_map::ActorMap;
use crate::interval_set::IN_RANGE;
use crate::{Actor, Causality, Dot, IntervalSet, MAX_COUNTER, Run, VersionVector};

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
    entries: ActorMap<A, IntervalSet>,
}

impl<A> Default for CausalContext<A> {
    fn default() -> Self {
        Self { entries: ActorMap::default() }
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

    /// How many dots; stays at the end of its range. O(runs).
    #[must_use]
    pub fn len(&self) -> u64 {
        self.entries.iter().fold(0, |sum, (_, set)| set.len().saturating_add(sum))
    }

    /// Per actor, ascending, the counters seen.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&A, &IntervalSet)> + '_ {
        self.entries.iter()
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
        self.entries.get(actor)
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

    /// Sees one event; says whether it was new. O(log actors + log runs) for the next dot of an actor, O(runs) at
    /// worst.
    ///
    /// # Panics
    /// If the dot's counter is 0 or beyond [`MAX_COUNTER`]: it names no event.
    pub fn insert(&mut self, dot: Dot<A>) -> bool {
        assert!((1..=MAX_COUNTER).contains(&dot.counter), "{IN_RANGE}");
        self.entries.entry(dot.actor, IntervalSet::new).insert(dot.counter)
    }

    /// Sees a run of one actor's events. O(log actors + runs).
    ///
    /// # Panics
    /// If the run is empty, starts at 0, or ends beyond [`MAX_COUNTER`].
    pub fn insert_run(&mut self, actor: A, run: Run) {
        assert!(0 < run.first && run.first <= run.last && run.last <= MAX_COUNTER, "{IN_RANGE}");
        self.entries.entry(actor, IntervalSet::new).insert_run(run);
    }

    /// This context and one dot more. With the dot of a write and what its writer had read it is the *own-write
    /// context*: what that writer may replace with its next write. The whole [context](crate::Siblings::context)
    /// of the place would also name siblings the writer has never read.
    #[must_use]
    pub fn with(&self, dot: Dot<A>) -> Self {
        let mut context = self.clone();
        context.insert(dot);
        context
    }

    /// Sees everything `other` has seen (*merge*). O(runs of both).
    pub fn union(&mut self, other: &Self) {
        self.entries.merge(&other.entries, IntervalSet::union, IntervalSet::clone);
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
        let mut some = Self::new();
        for (actor, set) in self.iter() {
            let set = f(actor, set);
            if !set.is_empty() {
                some.push(actor.clone(), set);
            }
        }
        some
    }

    /// For callers whose actors ascend and whose sets are not empty; says whether they do.
    pub(crate) fn push(&mut self, actor: A, set: IntervalSet) -> bool {
        debug_assert!(!set.is_empty(), "no entry without a counter");
        self.entries.push(actor, set)
    }

    /// What `other` has seen and this context has not: what to ask `other` for. O(runs of both).
    #[must_use]
    pub fn missing(&self, other: &Self) -> Self {
        other.minus(self)
    }

    /// Has this context seen everything `other` has?
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.entries.all_of(&other.entries, |ours, theirs| ours.is_some_and(|ours| ours.covers(theirs)))
    }

    /// Set inclusion as an order. States are compared by [`Siblings::compare`](crate::Siblings::compare):
    /// contexts alone cannot tell that a value was removed.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        self.entries.compare(&other.entries, |ours, theirs| (theirs.covers(ours), ours.covers(theirs)))
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
        let mut context = Self::new();
        for (actor, counter) in vector.iter() {
            context.push(actor.clone(), IntervalSet::up_to(counter));
        }
        context
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
