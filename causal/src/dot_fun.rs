//! Live dots with their payloads, and the one merge.
//!
//! `join: L = (L1 & L2) + (L1 - C2) + (L2 - C1)`: a dot stays if both sides have it live, or if the side that
//! does not have it has never seen it. Everything that merges in this project merges by [`DotFun::join`].

use alloc::vec::Vec;

use smallvec::SmallVec;

use crate::{Actor, CausalContext, Dot, DoubleSpentDot, VersionVector};

/// A set of events that can be asked for one.
pub trait EventSet<A> {
    /// Has this event been seen?
    fn contains(&self, dot: &Dot<A>) -> bool;
    /// The greatest counter seen of `actor`, 0 if none.
    fn max(&self, actor: &A) -> u64;
}

impl<A: Actor> EventSet<A> for CausalContext<A> {
    fn contains(&self, dot: &Dot<A>) -> bool {
        CausalContext::contains(self, dot)
    }
    fn max(&self, actor: &A) -> u64 {
        CausalContext::max(self, actor)
    }
}

impl<A: Actor> EventSet<A> for VersionVector<A> {
    fn contains(&self, dot: &Dot<A>) -> bool {
        VersionVector::contains(self, dot)
    }
    fn max(&self, actor: &A) -> u64 {
        self.get(actor)
    }
}

/// The union of several contexts, without building it.
impl<A: Actor> EventSet<A> for [&CausalContext<A>] {
    fn contains(&self, dot: &Dot<A>) -> bool {
        self.iter().any(|context| context.contains(dot))
    }
    fn max(&self, actor: &A) -> u64 {
        self.iter().map(|context| context.max(actor)).max().unwrap_or(0)
    }
}

/// What a merge changed on the side that was merged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinOutcome<A> {
    /// Dots that are live now and were not.
    pub added: SmallVec<[Dot<A>; 1]>,
    /// Dots that were live and are not any more.
    pub removed: SmallVec<[Dot<A>; 1]>,
    /// Was anything seen that had not been, live or not?
    pub learned: bool,
}

impl<A> JoinOutcome<A> {
    /// Did the merge change anything?
    #[must_use]
    pub fn changed(&self) -> bool {
        self.learned || !self.added.is_empty() || !self.removed.is_empty()
    }
}

/// A finite map from live dots to payloads, dots ascending. One live dot needs no heap.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DotFun<A, V> {
    live: SmallVec<[(Dot<A>, V); 1]>,
}

impl<A, V> Default for DotFun<A, V> {
    fn default() -> Self {
        Self { live: SmallVec::new() }
    }
}

impl<A: Actor, V> DotFun<A, V> {
    /// Nothing live.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Is nothing live?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// How many dots are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// The live dots with their payloads, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Dot<A>, &V)> + ExactSizeIterator + Clone + '_ {
        self.live.iter().map(|(dot, value)| (dot, value))
    }

    /// The live dots, ascending.
    pub fn dots(&self) -> impl ExactSizeIterator<Item = &Dot<A>> + Clone + '_ {
        self.live.iter().map(|(dot, _)| dot)
    }

    /// The payload of a live dot.
    #[must_use]
    pub fn get(&self, dot: &Dot<A>) -> Option<&V> {
        self.position(dot).ok().map(|at| &self.live[at].1)
    }

    /// For callers whose dots strictly ascend.
    pub(crate) fn from_ascending(live: Vec<(Dot<A>, V)>) -> Self {
        debug_assert!(live.is_sorted_by(|(before, _), (after, _)| before < after), "dots ascend");
        Self { live: live.into_iter().collect() }
    }

    /// Adds a live dot, replacing the payload it may have had.
    pub fn insert(&mut self, dot: Dot<A>, value: V) {
        match self.position(&dot) {
            Ok(at) => self.live[at].1 = value,
            Err(at) => self.live.insert(at, (dot, value)),
        }
    }

    /// Drops every live dot that `seen` contains, and gives them back.
    pub fn discard(&mut self, seen: &(impl EventSet<A> + ?Sized)) -> SmallVec<[Dot<A>; 1]> {
        self.retain(|dot, _| !seen.contains(dot))
    }

    /// Keeps the live dots that `keep` wants, and gives back the others.
    pub fn retain(&mut self, mut keep: impl FnMut(&Dot<A>, &V) -> bool) -> SmallVec<[Dot<A>; 1]> {
        let mut dropped = SmallVec::new();
        self.live.retain(|(dot, value)| {
            let stays = keep(dot, value);
            if !stays {
                dropped.push(dot.clone());
            }
            stays
        });
        dropped
    }

    /// The merge. O(values of both, each looked up). `own` and `theirs` are what each side has seen; a side's live dots count as seen by it.
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two payloads (payloads that are not equal to themselves, as NaN, always do);
    /// nothing is changed then.
    pub fn join(
        &mut self,
        own: &(impl EventSet<A> + ?Sized),
        other: &Self,
        theirs: &(impl EventSet<A> + ?Sized),
    ) -> Result<JoinOutcome<A>, DoubleSpentDot<A>>
    where
        V: Clone + PartialEq,
    {
        if let Some((dot, _)) = other.iter().find(|(dot, value)| self.get(dot).is_some_and(|mine| mine != *value)) {
            return Err(DoubleSpentDot(dot.clone()));
        }
        let news = other.iter().filter(|(dot, _)| self.get(dot).is_none() && !own.contains(dot));
        let news: SmallVec<[(Dot<A>, V); 1]> = news.map(|(dot, value)| (dot.clone(), value.clone())).collect();
        let removed = self.retain(|dot, _| other.get(dot).is_some() || !theirs.contains(dot));
        let added: SmallVec<[Dot<A>; 1]> = news.iter().map(|(dot, _)| dot.clone()).collect();
        self.merge_in(news);
        Ok(JoinOutcome { learned: !added.is_empty(), added, removed })
    }

    /// Adds ascending dots that are not live here.
    fn merge_in(&mut self, news: SmallVec<[(Dot<A>, V); 1]>) {
        if news.len() <= 1 {
            return news.into_iter().for_each(|(dot, value)| self.insert(dot, value));
        }
        let mut merged = SmallVec::with_capacity(self.len() + news.len());
        let mut news = news.into_iter().peekable();
        for held in core::mem::take(&mut self.live) {
            while let Some(new) = news.next_if(|(dot, _)| *dot < held.0) {
                merged.push(new);
            }
            merged.push(held);
        }
        merged.extend(news);
        self.live = merged;
    }

    fn position(&self, dot: &Dot<A>) -> Result<usize, usize> {
        self.live.binary_search_by(|(d, _)| d.cmp(dot))
    }
}

impl<A: Actor, V> FromIterator<(Dot<A>, V)> for DotFun<A, V> {
    fn from_iter<I: IntoIterator<Item = (Dot<A>, V)>>(entries: I) -> Self {
        let mut live: SmallVec<[(Dot<A>, V); 1]> = entries.into_iter().collect();
        live.sort_by(|(x, _), (y, _)| y.cmp(x)); // stable: of equal dots the last one in is the last of its kind
        live.reverse();
        live.dedup_by(|(x, _), (y, _)| x == y);
        Self { live }
    }
}
