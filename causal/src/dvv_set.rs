//! The classic, dense DVV set (Almeida, Baquero, Gonçalves, Preguiça, Fonte 2014).
//!
//! One row per actor: `(i, n, [v..])`, values newest first, standing for the dots `n, n-1, ..`; the context is
//! everything up to `n`. Exact as long as whole sets travel and each set counts its own dots, so that no context
//! has a gap; where deltas or partial reads travel, or one counter names the writes of many places, use
//! [`Siblings`](crate::Siblings). There are no values without a dot: with the "anonymous list" of the reference
//! implementation `sync` is not associative.

use smallvec::SmallVec;

use crate::actor_map::ActorMap;
use crate::{
    Actor, CausalContext, Causality, Dot, DoubleSpentDot, Gap, MAX_COUNTER, MintError, Siblings, VersionVector,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Row<V> {
    counter: u64,
    /// Newest first: `values[k]` is the value of the dot `counter - k`.
    values: SmallVec<[V; 1]>,
}

/// All siblings of a key under one version vector.
///
/// The set counts its own dots, so it must be as durable as a [`Lease`](crate::Lease): a coordinator whose copy was
/// restored from a backup gives dots twice. If a reader knows more of it, that is noticed ([`MintError::Amnesia`]);
/// otherwise not. A [`Minter`](crate::Minter) with [`Siblings`] has the stronger guard.
///
/// ```
/// use causal::{DvvSet, VersionVector};
/// let mut here = DvvSet::new();
/// here.update(&VersionVector::new(), "r", "v1")?;
/// let seen = here.context();
/// here.update(&seen, "r", "v2")?;                   // has read v1
/// here.update(&seen, "r", "v3")?;                   // has read v1 as well: v2 and v3 are concurrent
/// assert_eq!(here.values().copied().collect::<Vec<_>>(), ["v3", "v2"]);
/// # Ok::<(), causal::MintError<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DvvSet<A, V> {
    rows: ActorMap<A, Row<V>>,
}

impl<A, V> Default for DvvSet<A, V> {
    fn default() -> Self {
        Self { rows: ActorMap::default() }
    }
}

impl<A: Actor, V> DvvSet<A, V> {
    /// Nothing written, nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The values: by ascending actor, newest first.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone + '_ {
        self.rows.iter().flat_map(|(_, row)| row.values.iter())
    }

    /// The live dots with their values, by ascending actor, newest first.
    pub fn iter(&self) -> impl Iterator<Item = (Dot<A>, &V)> + '_ {
        self.rows.iter().flat_map(|(actor, row)| {
            let dots = (0..).map(|k| Dot { actor: actor.clone(), counter: row.counter - k });
            dots.zip(row.values.iter())
        })
    }

    /// The live dots, by ascending actor, newest first.
    pub fn dots(&self) -> impl Iterator<Item = Dot<A>> + '_ {
        self.iter().map(|(dot, _)| dot)
    }

    /// How many values are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.iter().map(|(_, row)| row.values.len()).sum()
    }

    /// Is no value live?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Everything seen: what a reader hands back with its next write. (*join* in the papers.)
    #[must_use]
    pub fn context(&self) -> VersionVector<A> {
        let mut context = VersionVector::new();
        for (actor, row) in self.rows.iter() {
            context.push(actor.clone(), row.counter);
        }
        context
    }

    /// Merges another set of the same key; says whether anything changed here. O(actors + values).
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two values; nothing is changed then.
    pub fn sync(&mut self, other: &Self) -> Result<bool, DoubleSpentDot<A>>
    where
        V: Clone + PartialEq,
    {
        if !self
            .rows
            .all_of(&other.rows, |ours, theirs| ours.is_none_or(|ours| ours.first_disagreement(theirs).is_none()))
        {
            return Err(self.double_spent(other));
        }
        let (mut changed, mut fresh) = (false, false);
        let keep = |ours: &mut Row<V>, theirs: &Row<V>| changed |= ours.merge(theirs);
        self.rows.merge(&other.rows, keep, |theirs| {
            fresh = true;
            theirs.clone()
        });
        Ok(changed || fresh)
    }

    #[cold]
    fn double_spent(&self, other: &Self) -> DoubleSpentDot<A>
    where
        V: PartialEq,
    {
        let rows = self.rows.iter().filter_map(|(actor, ours)| Some((actor, ours, other.rows.get(actor)?)));
        let mut found = rows.filter_map(|(actor, ours, theirs)| {
            Some(DoubleSpentDot(Dot { actor: actor.clone(), counter: ours.first_disagreement(theirs)? }))
        });
        found.next().expect("rows that disagree have a dot with two values")
    }

    /// Removes every value whose dot `context` has seen, and has seen all of it from now on.
    pub fn discard(&mut self, context: &VersionVector<A>) {
        let fresh = |counter: &u64| Row { counter: *counter, values: SmallVec::new() };
        self.rows.merge(context.entries(), |row, seen| row.discard(*seen), fresh);
    }

    /// The next dot at coordinator `actor`, for a client who has read `context`.
    ///
    /// # Errors
    /// [`MintError::Amnesia`] if `context` knows more of `actor` than this set does: this set was restored from
    /// a copy, or is not where `actor` coordinates. [`MintError::Exhausted`] at [`MAX_COUNTER`].
    pub fn event(&self, context: &VersionVector<A>, actor: A) -> Result<Dot<A>, MintError<A>> {
        let (minted, seen) = (self.rows.get(&actor).map_or(0, |row| row.counter), context.get(&actor));
        if seen > minted {
            return Err(MintError::Amnesia { actor, seen, minted });
        }
        if minted >= MAX_COUNTER {
            return Err(MintError::Exhausted { actor });
        }
        Ok(Dot { actor, counter: minted + 1 })
    }

    /// A write at coordinator `actor` by a client who has read `context`: *discard*, then *event*. Gives the dot
    /// of the write. O(actors + siblings of `actor`).
    ///
    /// # Errors
    /// Those of [`Self::event`]; nothing is changed then.
    pub fn update(&mut self, context: &VersionVector<A>, actor: A, value: V) -> Result<Dot<A>, MintError<A>> {
        let dot = self.event(context, actor)?;
        self.discard(context);
        let row = self.rows.entry(dot.actor.clone(), || Row { counter: 0, values: SmallVec::new() });
        row.counter = dot.counter;
        row.values.insert(0, value);
        Ok(dot)
    }

    /// Has this set seen everything `context` has?
    #[must_use]
    pub fn covers(&self, context: &VersionVector<A>) -> bool {
        self.rows.all_of(context.entries(), |row, seen| row.is_some_and(|row| *seen <= row.counter))
    }

    /// The lattice order: what was seen, then what is live of it. O(actors).
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        self.rows.compare(&other.rows, |ours, theirs| (ours.within(theirs), theirs.within(ours)))
    }

    /// The live dots with their values, ascending.
    pub(crate) fn ascending(&self) -> impl Iterator<Item = (Dot<A>, &V)> + '_ {
        self.rows.iter().flat_map(|(actor, row)| {
            let dots = (row.dropped() + 1..).map(|counter| Dot { actor: actor.clone(), counter });
            dots.zip(row.values.iter().rev())
        })
    }

    /// The same state in the form that can have gaps.
    #[must_use]
    pub fn to_siblings(&self) -> Siblings<A, V>
    where
        V: Clone,
    {
        let live = self.ascending().map(|(dot, value)| (dot, value.clone())).collect();
        Siblings::from_parts(live, CausalContext::from(&self.context()))
    }
}

/// Back from the form that can have gaps.
impl<A: Actor, V: Clone> TryFrom<&Siblings<A, V>> for DvvSet<A, V> {
    type Error = Gap<A>;

    /// # Errors
    /// [`Gap`] if an actor's counters have a gap, or its live dots are not its newest ones.
    fn try_from(siblings: &Siblings<A, V>) -> Result<Self, Gap<A>> {
        let context = VersionVector::try_from(siblings.context())?;
        let mut set = Self::new();
        for (actor, counter) in context.iter() {
            set.rows.push(actor.clone(), Row { counter, values: SmallVec::new() });
        }
        let newest_first = siblings.live().iter().rev();
        for (dot, value) in newest_first {
            let row = set.rows.entry(dot.actor.clone(), || unreachable!("live dots are within the context"));
            if dot.counter + row.values.len() as u64 != row.counter {
                return Err(Gap(dot.clone()));
            }
            row.values.push(value.clone());
        }
        Ok(set)
    }
}

impl<V> Row<V> {
    /// Of the dots `1..=counter`, how many are not live: the oldest ones.
    fn dropped(&self) -> u64 {
        self.counter - self.values.len() as u64
    }

    /// Nothing here is unseen there, and nothing dropped here is live there.
    fn within(&self, other: &Self) -> bool {
        self.counter <= other.counter && self.dropped() <= other.dropped()
    }

    fn discard(&mut self, seen: u64) {
        let unseen = usize::try_from(self.counter.saturating_sub(seen)).unwrap_or(usize::MAX);
        self.values.truncate(unseen);
        self.counter = self.counter.max(seen);
    }

    /// How many values stay when this row meets an older one: `n - n' + |l'|`; older ones the other has dropped.
    fn kept_beside(&self, older: &Self) -> usize {
        let kept = (self.counter - older.counter).saturating_add(older.values.len() as u64);
        usize::try_from(kept).unwrap_or(usize::MAX).min(self.values.len())
    }

    /// The newest dot that is live on both sides with two values.
    fn first_disagreement(&self, other: &Self) -> Option<u64>
    where
        V: PartialEq,
    {
        let (newer, older) = if self.counter >= other.counter { (self, other) } else { (other, self) };
        let ahead = usize::try_from(newer.counter - older.counter).unwrap_or(usize::MAX);
        let both = newer.values.iter().skip(ahead).zip(&older.values);
        let at = both.into_iter().position(|(x, y)| x != y)?;
        Some(older.counter - at as u64)
    }

    fn merge(&mut self, other: &Self) -> bool
    where
        V: Clone,
    {
        if self.counter >= other.counter {
            let (held, kept) = (self.values.len(), self.kept_beside(other));
            self.values.truncate(kept);
            kept < held
        } else {
            self.values = other.values[..other.kept_beside(self)].iter().cloned().collect();
            self.counter = other.counter;
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{DvvSet, Row};
    use crate::{MAX_COUNTER, MintError, VersionVector, dvv};
    use smallvec::smallvec;

    #[test]
    fn the_last_counter_is_the_last_write_and_nothing_wraps() {
        let mut set = DvvSet::new();
        set.rows.entry("r", || Row { counter: MAX_COUNTER - 1, values: smallvec![1] });
        let seen = set.context();
        assert_eq!(set.update(&seen, "r", 2).unwrap().counter, MAX_COUNTER);
        let (seen, before) = (set.context(), set.clone());
        assert_eq!(set.update(&seen, "r", 3), Err(MintError::Exhausted { actor: "r" }));
        assert_eq!(set, before);
        let last = [(dvv::Dvv { dot: set.dots().next().unwrap(), past: VersionVector::new() }, 2)];
        assert_eq!(dvv::event(&last, &seen, "r"), Err(MintError::Exhausted { actor: "r" }));
    }
}
