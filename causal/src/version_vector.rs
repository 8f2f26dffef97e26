//! A causal history without gaps: per actor, everything up to a counter.

use crate::actor_map::ActorMap;
use crate::interval_set::IN_RANGE;
use crate::{Actor, CausalContext, Causality, Dot, MAX_COUNTER};

/// The set `{(a, 1..=n)}` for each entry `a -> n`. Canonical: actors ascend, no entry is 0. Up to four actors
/// need no heap.
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
    entries: ActorMap<A, u64>,
}

impl<A> Default for VersionVector<A> {
    fn default() -> Self {
        Self { entries: ActorMap::default() }
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
        self.entries.get(actor).copied().unwrap_or(0)
    }

    /// Is the event in this history? O(log actors).
    #[must_use]
    pub fn contains(&self, dot: &Dot<A>) -> bool {
        0 < dot.counter && dot.counter <= self.get(&dot.actor)
    }

    /// Sees everything of the dot's actor up to the dot. O(log actors), O(actors) for a new one.
    ///
    /// # Panics
    /// If the dot's counter is 0 or beyond [`MAX_COUNTER`]: it names no event.
    pub fn insert(&mut self, dot: Dot<A>) {
        assert!((1..=MAX_COUNTER).contains(&dot.counter), "{IN_RANGE}");
        let held = self.entries.entry(dot.actor, || 0);
        *held = (*held).max(dot.counter);
    }

    /// Sees the next `by` events of `actor`, and gives the counter it has come to; nothing, and nothing is changed, if that
    /// would pass [`MAX_COUNTER`]. O(log actors), O(actors) for a new one.
    pub fn advance(&mut self, actor: &A, by: u64) -> Option<u64> {
        match self.entries.get_mut(actor) {
            Some(held) => {
                *held = held.checked_add(by).filter(|counter| *counter <= MAX_COUNTER)?;
                Some(*held)
            }
            None if by == 0 => Some(0),
            None => {
                let counter = Some(by).filter(|counter| *counter <= MAX_COUNTER)?;
                self.insert(Dot { actor: actor.clone(), counter });
                Some(counter)
            }
        }
    }

    /// Adds everything `other` has seen (*merge*). O(actors of both).
    pub fn union(&mut self, other: &Self) {
        self.entries.merge(&other.entries, |ours, theirs| *ours = (*ours).max(*theirs), |theirs| *theirs);
    }

    /// Has this history seen everything `other` has? O(actors of both).
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.entries.all_of(&other.entries, |ours, theirs| ours.is_some_and(|ours| theirs <= ours))
    }

    /// Set inclusion as an order. O(actors of both).
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        self.entries.compare(&other.entries, |ours, theirs| (ours <= theirs, theirs <= ours))
    }

    /// The entries, actors ascending.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&A, u64)> + '_ {
        self.entries.iter().map(|(actor, counter)| (actor, *counter))
    }

    /// Has it seen nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn entries(&self) -> &ActorMap<A, u64> {
        &self.entries
    }

    /// For callers whose actors ascend and whose counters are at least 1.
    pub(crate) fn push(&mut self, actor: A, counter: u64) {
        let ascends = self.entries.push(actor, counter);
        debug_assert!(ascends && counter > 0, "canonical entries");
    }
}

/// A state that has no dense form, and the dot that stands in its way: one beyond a gap, or a live one that is older
/// than one that is not live any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap<A>(pub Dot<A>);

impl<A: core::fmt::Debug> core::fmt::Display for Gap<A> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Dot { actor, counter } = &self.0;
        write!(
            f,
            "dot ({actor:?}, {counter}) comes after a gap, or is live before one that is not: keep the form with gaps"
        )
    }
}

impl<A: core::fmt::Debug> core::error::Error for Gap<A> {}

/// The same history in the form without gaps. O(actors).
impl<A: Actor> TryFrom<&CausalContext<A>> for VersionVector<A> {
    type Error = Gap<A>;

    fn try_from(context: &CausalContext<A>) -> Result<Self, Gap<A>> {
        let mut vector = Self::new();
        for (actor, set) in context.iter() {
            let beyond = set.runs().iter().find(|run| run.first > 1);
            if let Some(run) = beyond {
                return Err(Gap(Dot { actor: actor.clone(), counter: run.first }));
            }
            vector.push(actor.clone(), set.max());
        }
        Ok(vector)
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
