//! The classic, dense DVV set (Almeida, Baquero, Gonçalves, Preguiça, Fonte 2014).
//!
//! One entry per actor: `(i, n, [v..])`, values newest first, standing for the dots `n, n-1, ..`; the context is
//! everything up to `n`. Exact as long as whole sets travel, so that no context has a gap; where deltas or
//! partial reads travel, use [`Siblings`](crate::Siblings). There are no values without a dot: with the
//! "anonymous list" of the reference implementation `sync` is not associative.

use smallvec::SmallVec;

use crate::{Actor, Causality, Dot, Siblings, VersionVector};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry<A, V> {
    actor: A,
    counter: u64,
    /// Newest first: `values[k]` is the value of the dot `counter - k`.
    values: SmallVec<[V; 1]>,
}

/// All siblings of a key under one version vector.
///
/// ```
/// use causal::{DvvSet, VersionVector};
/// let mut here = DvvSet::new();
/// here.update(&VersionVector::new(), "r", "v1");
/// let seen = here.context();
/// here.update(&seen, "r", "v2");                    // has read v1
/// here.update(&seen, "r", "v3");                    // has read v1 as well: v2 and v3 are concurrent
/// assert_eq!(here.values().copied().collect::<Vec<_>>(), ["v3", "v2"]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DvvSet<A, V> {
    entries: SmallVec<[Entry<A, V>; 2]>,
}

impl<A, V> Default for DvvSet<A, V> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}

impl<A: Actor, V> DvvSet<A, V> {
    /// Nothing written, nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The values: by ascending actor, newest first.
    pub fn values(&self) -> impl Iterator<Item = &V> + '_ {
        self.entries.iter().flat_map(|entry| entry.values.iter())
    }

    /// The live dots with their values, by ascending actor, newest first.
    pub fn iter(&self) -> impl Iterator<Item = (Dot<A>, &V)> + '_ {
        self.entries.iter().flat_map(|entry| {
            let dots = (0..).map(|k| Dot { actor: entry.actor.clone(), counter: entry.counter - k });
            dots.zip(entry.values.iter())
        })
    }

    /// Everything seen: what a reader hands back with its next write. (*join* in the papers.)
    #[must_use]
    pub fn context(&self) -> VersionVector<A> {
        self.entries.iter().map(|entry| (entry.actor.clone(), entry.counter)).collect()
    }

    /// Merges another set of the same key. O(actors + values).
    pub fn sync(&mut self, other: &Self)
    where
        V: Clone,
    {
        for theirs in &other.entries {
            match self.position(&theirs.actor) {
                Ok(at) => self.entries[at].merge(theirs),
                Err(at) => self.entries.insert(at, theirs.clone()),
            }
        }
    }

    /// Removes every value whose dot `context` has seen. What was seen stays seen.
    pub fn discard(&mut self, context: &VersionVector<A>) {
        for entry in &mut self.entries {
            let unseen = entry.counter.saturating_sub(context.get(&entry.actor));
            entry.values.truncate(usize::try_from(unseen).unwrap_or(usize::MAX));
        }
    }

    /// The next dot at coordinator `actor`, for a client who has read `context`.
    #[must_use]
    pub fn event(&self, context: &VersionVector<A>, actor: A) -> Dot<A> {
        let held = self.position(&actor).map_or(0, |at| self.entries[at].counter);
        let counter = held.max(context.get(&actor)) + 1;
        Dot::new(actor, counter)
    }

    /// A write at coordinator `actor` by a client who has read `context`: *discard*, then *event*.
    pub fn update(&mut self, context: &VersionVector<A>, actor: A, value: V) -> Dot<A> {
        self.discard(context);
        for (seen, counter) in context.iter() {
            let entry = self.entry(seen.clone());
            // Counting past what is held here would move the values to other dots; they were just discarded.
            if counter > entry.counter {
                entry.counter = counter;
            }
        }
        let dot = self.event(context, actor.clone());
        let entry = self.entry(actor);
        entry.counter = dot.counter;
        entry.values.insert(0, value);
        dot
    }

    /// Compares what was seen, then what is live of it: the lattice order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        Causality::from_inclusions(self.within(other), other.within(self))
    }

    fn within(&self, other: &Self) -> bool {
        let (mine, theirs) = (self.context(), other.context());
        let live = |dot: &Dot<A>| self.iter().any(|(mine, _)| mine == *dot);
        theirs.covers(&mine) && other.iter().all(|(dot, _)| !mine.contains(&dot) || live(&dot))
    }

    /// The same state in the form that can have gaps.
    #[must_use]
    pub fn to_siblings(&self) -> Siblings<A, V>
    where
        V: Clone,
    {
        let live = self.iter().map(|(dot, value)| (dot, value.clone())).collect();
        Siblings::from_parts(live, (&self.context()).into())
    }

    fn entry(&mut self, actor: A) -> &mut Entry<A, V> {
        let at = self.position(&actor).unwrap_or_else(|at| {
            self.entries.insert(at, Entry { actor, counter: 0, values: SmallVec::new() });
            at
        });
        &mut self.entries[at]
    }

    fn position(&self, actor: &A) -> Result<usize, usize> {
        self.entries.binary_search_by(|entry| entry.actor.cmp(actor))
    }
}

impl<A, V: Clone> Entry<A, V> {
    /// Keeps the `n - n' + |l'|` newest values of the entry that has seen more: older ones the other has dropped.
    fn merge(&mut self, other: &Self) {
        let newer_is_ours = self.counter >= other.counter;
        let (newer, older) = if newer_is_ours { (&*self, other) } else { (other, &*self) };
        let kept = (newer.counter - older.counter).saturating_add(older.values.len() as u64);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX).min(newer.values.len());
        if newer_is_ours {
            self.values.truncate(kept);
        } else {
            self.values = other.values[..kept].iter().cloned().collect();
            self.counter = other.counter;
        }
    }
}
