//! Sorted sets: members with scores, and their order.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::ops::{Range, RangeBounds};

use causal::{Actor, CausalContext, Dot, DoubleSpentDot, Hlc};

use crate::rope::{Item, Place, Rope};
use crate::{DotMap, DotStore, Edit, Error, Num};

/// Members, each with a score that is set or added to ([`Num`]), in the order of their scores and then of themselves.
/// A removal resets what it has seen of the score: concurrent with adding 2 it leaves a score of 2.
///
/// ```
/// use causal::Minter;
/// use crdt::{Replica, ZSet};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<ZSet<&str, &str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|board| { board.set("ann", 30)?; board.set("bob", 20) })?)?;
/// let (removed, added) = (a.edit(|board| board.remove("ann"))?, b.edit(|board| board.add("ann", 2))?);
/// a.apply(&added)?;
/// b.apply(&removed)?;
/// assert_eq!((a.score("ann"), b.score("ann")), (Some(2), Some(2)));
/// assert_eq!((a.rank("ann"), a.rank("bob")), (Some(0), Some(1)));
/// assert!(a.by_score(10..).eq([(&"bob", 20)]));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug)]
pub struct ZSet<A: Actor, M: Clone> {
    scores: DotMap<M, Num<A>>,
    /// The members that show, in order. Only states keep it: a delta has none.
    order: Rope<Scored<M>>,
}

#[derive(Clone, Debug)]
pub(crate) struct Scored<M> {
    pub(crate) score: i64,
    pub(crate) member: M,
}

impl<M: Clone> Item for Scored<M> {
    type Key = Self;

    fn weight(&self) -> usize {
        1
    }

    fn key(&self) -> Self {
        self.clone()
    }
}

impl<A: Actor, M: Clone> Default for ZSet<A, M> {
    fn default() -> Self {
        Self { scores: DotMap::default(), order: Rope::default() }
    }
}

/// The order follows from the scores.
impl<A: Actor, M: Ord + Clone> PartialEq for ZSet<A, M> {
    fn eq(&self, other: &Self) -> bool {
        self.scores == other.scores
    }
}

impl<A: Actor, M: Ord + Clone> Eq for ZSet<A, M> {}

impl<A: Actor, M: Ord + Clone> ZSet<A, M> {
    /// The score of a member. O(log n).
    #[must_use]
    pub fn score<Q: Ord + ?Sized>(&self, member: &Q) -> Option<i64>
    where
        M: Borrow<Q>,
    {
        self.scores.get(member).and_then(Num::value)
    }

    /// How many members come before this one. O(log n).
    #[must_use]
    pub fn rank<Q: Ord + ?Sized>(&self, member: &Q) -> Option<usize>
    where
        M: Borrow<Q>,
    {
        let score = self.score(member)?;
        Some(self.order.rank(self.place(score, member)?))
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.weight()
    }

    /// Is there none?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The members with their scores, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&M, i64)> + Clone + '_ {
        self.order.iter().map(|scored| (&scored.member, scored.score))
    }

    /// The members of a range of ranks, or of as much of it as there is. O(log n + members).
    pub fn by_rank(&self, ranks: Range<usize>) -> impl Iterator<Item = (&M, i64)> + Clone + '_ {
        let first = self.order.find(ranks.start).map(|(place, _)| place);
        let count = if first.is_some() { ranks.len() } else { 0 };
        self.order.iter_from(first).take(count).map(|scored| (&scored.member, scored.score))
    }

    /// The members of a range of scores. O(log n + members).
    pub fn by_score(&self, scores: impl RangeBounds<i64>) -> impl Iterator<Item = (&M, i64)> + '_ {
        use std::ops::Bound::{Excluded, Included, Unbounded};
        let first = match scores.start_bound() {
            Unbounded => self.order.first(),
            Included(first) => self.order.search(|scored| scored.score < *first),
            Excluded(before) => self.order.search(|scored| scored.score <= *before),
        };
        let end = scores.end_bound().cloned();
        let is_within = move |score: i64| match end {
            Unbounded => true,
            Included(last) => score <= last,
            Excluded(end) => score < end,
        };
        let members = self.order.iter_from(first).take_while(move |scored| is_within(scored.score));
        members.map(|scored| (&scored.member, scored.score))
    }

    /// Of a state.
    pub(crate) fn sorted(scores: DotMap<M, Num<A>>) -> Self {
        let mut set = Self::touching(scores);
        set.sort();
        set
    }

    /// Of a delta.
    pub(crate) fn touching(scores: DotMap<M, Num<A>>) -> Self {
        Self { scores, order: Rope::default() }
    }

    pub(crate) fn scores(&self) -> &DotMap<M, Num<A>> {
        &self.scores
    }

    /// The scores alone: the order is in records.
    pub(crate) fn scores_mut(&mut self) -> &mut DotMap<M, Num<A>> {
        &mut self.scores
    }

    pub(crate) fn order(&self) -> &Rope<Scored<M>> {
        &self.order
    }

    pub(crate) fn order_mut(&mut self) -> &mut Rope<Scored<M>> {
        &mut self.order
    }

    fn place<Q: Ord + ?Sized>(&self, score: i64, member: &Q) -> Option<Place>
    where
        M: Borrow<Q>,
    {
        self.order.search(|scored| (scored.score, scored.member.borrow()) < (score, member))
    }

    /// Puts a member whose score may have changed to its place.
    fn move_from(&mut self, before: Option<i64>, member: &M) {
        let after = self.score(member);
        if before == after {
            return;
        }
        if let Some(place) = before.and_then(|score| self.place(score, member)) {
            self.order.remove(place);
        }
        if let Some(score) = after {
            let place = self.place(score, member);
            self.order.insert(place, Scored { score, member: member.clone() }, |_, _| {});
        }
    }

    /// How many members come before this score and member, whether it is there or not.
    fn members_before(&self, score: i64, member: &M) -> usize {
        self.place(score, member).map_or(self.len(), |place| self.order.rank(place))
    }

    /// Puts all members in order. O(n log n).
    fn sort(&mut self) {
        let mut scored: Vec<Scored<M>> = self
            .scores
            .iter()
            .filter_map(|(member, score)| Some(Scored { score: score.value()?, member: member.clone() }))
            .collect();
        scored.sort_by_key(|scored| scored.score); // stable: the members are sorted already
        self.order = Rope::default();
        for scored in scored {
            self.order.insert(None, scored, |_, _| {});
        }
    }
}

impl<A: Actor, M: Ord + Clone> DotStore for ZSet<A, M> {
    type Actor = A;

    const HAS_PAYLOADS: bool = true;

    fn agrees(&self, other: &Self) -> Result<(), DoubleSpentDot<A>> {
        self.scores.agrees(&other.scores)
    }

    fn join(&mut self, own: &CausalContext<A>, other: &Self, theirs: &CausalContext<A>) {
        let before: Vec<(M, i64)> = self.order.iter().map(|scored| (scored.member.clone(), scored.score)).collect();
        self.scores.join(own, &other.scores, theirs);
        before.iter().for_each(|(member, score)| self.move_from(Some(*score), member));
        let known: BTreeSet<&M> = before.iter().map(|(member, _)| member).collect();
        let new: Vec<M> = other.scores.keys().filter(|member| !known.contains(member)).cloned().collect();
        new.iter().for_each(|member| self.move_from(None, member));
    }

    fn join_delta(&mut self, own: &CausalContext<A>, delta: &Self, theirs: &CausalContext<A>) {
        let before: Vec<Option<i64>> = delta.scores.keys().map(|member| self.score(member)).collect();
        self.scores.join_delta(own, &delta.scores, theirs);
        delta.scores.keys().zip(before).for_each(|(member, before)| self.move_from(before, member));
    }

    fn group(&mut self, own: &CausalContext<A>, other: &Self, theirs: &CausalContext<A>) {
        self.scores.group(own, &other.scores, theirs);
    }

    /// (In records, scores may be elsewhere of which the order knows.)
    fn is_bottom(&self) -> bool {
        self.scores.is_bottom() && self.order.is_empty()
    }

    fn each_dot(&self, visit: &mut dyn FnMut(&Dot<A>)) {
        self.scores.each_dot(visit);
    }

    fn shows(&self) -> bool {
        self.scores.shows()
    }

    fn clear(place: &mut Edit<'_, Self>) -> Result<(), Error<A>> {
        place.numbers().clear()
    }

    fn part(&self, dots: &CausalContext<A>) -> Self {
        Self::touching(self.scores.part(dots))
    }

    fn latest(&self) -> Hlc {
        self.scores.latest()
    }

    fn list(&mut self) {
        self.scores.list();
    }
}

impl<A: Actor, M: Ord + Clone> Edit<'_, ZSet<A, M>> {
    /// Sets the score of a member, in place of what it is here. O(log n).
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn set(&mut self, member: impl Into<M>, score: i64) -> Result<(), Error<A>> {
        self.numbers().at(member.into()).set(score)
    }

    /// Adds to the score of a member, which is 0 if it is not in the set. O(log n).
    ///
    /// # Errors
    /// [`Error::Overflow`], and those of [`Self::set`].
    pub fn add(&mut self, member: impl Into<M>, amount: i64) -> Result<(), Error<A>> {
        self.numbers().at(member.into()).add(amount)
    }

    /// Removes a member. O(log n).
    ///
    /// # Errors
    /// As [`Self::set`]: to have removed increments has to be remembered.
    pub fn remove(&mut self, member: impl Into<M>) -> Result<(), Error<A>> {
        self.numbers().at(member.into()).clear()
    }

    /// The score of a member now, this edit's steps included. O(log n).
    pub fn score(&mut self, member: impl Into<M>) -> Option<i64> {
        self.numbers().at(member.into()).value()
    }

    /// How many members come before this one now. O(log n), and the members this edit has touched.
    pub fn rank(&mut self, member: impl Into<M>) -> Option<usize> {
        let member = member.into();
        let score = self.score(member.clone())?;
        let touched: Vec<M> = self.delta.scores.keys().cloned().collect();
        let mut rank = self.base.map_or(0, |base| base.members_before(score, &member));
        for other in touched {
            let comes_before = |theirs: Option<i64>| theirs.is_some_and(|theirs| (theirs, &other) < (score, &member));
            let (was, is) = (self.base.and_then(|base| base.score(&other)), self.score(other.clone()));
            rank = (rank + usize::from(comes_before(is))).saturating_sub(comes_before(was).into());
        }
        Some(rank)
    }

    /// The members of a range of ranks, or of as much of it as there is, with their scores. O(log n + members) if this edit
    /// has not changed any score; otherwise it looks at all.
    pub fn by_rank(&mut self, ranks: Range<usize>) -> Vec<(M, i64)> {
        let cloned = |(member, score): (&M, i64)| (member.clone(), score);
        let touched: Vec<M> = self.delta.scores.keys().cloned().collect();
        let is_changed = touched.into_iter().any(|member| {
            let was = self.base.and_then(|base| base.score(&member));
            self.score(member) != was
        });
        if is_changed {
            return self.current().by_rank(ranks).map(cloned).collect();
        }
        let Some(base) = self.base else { return Vec::new() };
        base.order.foresee(ranks.clone());
        base.by_rank(ranks).map(cloned).collect()
    }

    /// How many members there are now. O(the members this edit has touched).
    pub fn len(&mut self) -> usize {
        let touched: Vec<M> = self.delta.scores.keys().cloned().collect();
        let mut len = self.base.map_or(0, ZSet::len);
        for member in touched {
            let was = self.base.is_some_and(|base| base.score(&member).is_some());
            len = (len + usize::from(self.score(member).is_some())).saturating_sub(was.into());
        }
        len
    }

    /// Is there none?
    pub fn is_empty(&mut self) -> bool {
        self.len() == 0
    }

    fn numbers(&mut self) -> Edit<'_, DotMap<M, Num<A>>> {
        self.field(|set| &set.scores, |set| &mut set.scores)
    }
}
