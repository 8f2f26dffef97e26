//! A small sorted map from actors: what version vectors, contexts and DVV sets are made of.
//!
//! Invariant: actors strictly ascend, so that equal maps have equal representations. Up to four actors need no
//! heap. Merging walks both sides once when they hold the same actors (the common case) and searches ahead
//! where they do not.

use core::mem;

use smallvec::SmallVec;

use crate::{Actor, Causality};

/// How many actors fit inline.
const INLINE: usize = 4;
/// Up to how many new actors are inserted one by one; beyond, the map is rebuilt in one pass.
const FEW: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ActorMap<A, T> {
    entries: SmallVec<[(A, T); INLINE]>,
}

impl<A, T> Default for ActorMap<A, T> {
    fn default() -> Self {
        Self { entries: SmallVec::new() }
    }
}

impl<A: Actor, T> ActorMap<A, T> {
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (&A, &T)> + ExactSizeIterator + Clone + '_ {
        self.entries.iter().map(|(actor, value)| (actor, value))
    }

    /// O(log actors).
    pub(crate) fn get(&self, actor: &A) -> Option<&T> {
        self.position(actor).ok().map(|at| &self.entries[at].1)
    }

    /// O(log actors).
    pub(crate) fn get_mut(&mut self, actor: &A) -> Option<&mut T> {
        self.position(actor).ok().map(|at| &mut self.entries[at].1)
    }

    /// The value of `actor`, made with `fresh` if there is none yet.
    pub(crate) fn entry(&mut self, actor: A, fresh: impl FnOnce() -> T) -> &mut T {
        let at = self.position(&actor).unwrap_or_else(|at| {
            self.entries.insert(at, (actor, fresh()));
            at
        });
        &mut self.entries[at].1
    }

    /// Appends an actor; says no, and changes nothing, unless it comes after all that are there.
    pub(crate) fn push(&mut self, actor: A, value: T) -> bool {
        let ascends = self.entries.last().is_none_or(|(last, _)| *last < actor);
        if ascends {
            self.entries.push((actor, value));
        }
        ascends
    }

    /// Brings in every actor of `other`: `both` where it is here already, `fresh` where it is not.
    #[inline]
    pub(crate) fn merge<U>(
        &mut self,
        other: &ActorMap<A, U>,
        mut both: impl FnMut(&mut T, &U),
        fresh: impl FnMut(&U) -> T,
    ) {
        let mut same = 0;
        for ((actor, ours), (other, theirs)) in self.entries.iter_mut().zip(&other.entries) {
            if actor != other {
                break;
            }
            both(ours, theirs);
            same += 1;
        }
        if same < other.entries.len() {
            self.merge_from(same, other, both, fresh);
        }
    }

    /// [`Self::merge`] from the first place on where the actors differ.
    #[inline(never)]
    fn merge_from<U>(
        &mut self,
        same: usize,
        other: &ActorMap<A, U>,
        mut both: impl FnMut(&mut T, &U),
        mut fresh: impl FnMut(&U) -> T,
    ) {
        let (mut at, mut missing) = (same, 0);
        for (actor, theirs) in &other.entries[same..] {
            match self.search_from(at, actor) {
                Ok(found) => {
                    both(&mut self.entries[found].1, theirs);
                    at = found + 1;
                }
                Err(next) => (at, missing) = (next, missing + 1),
            }
        }
        match missing {
            0 => {}
            1..=FEW => {
                for (actor, theirs) in &other.entries {
                    if let Err(at) = self.position(actor) {
                        self.entries.insert(at, (actor.clone(), fresh(theirs)));
                    }
                }
            }
            _ => self.rebuild(other, missing, fresh),
        }
    }

    fn rebuild<U>(&mut self, other: &ActorMap<A, U>, missing: usize, mut fresh: impl FnMut(&U) -> T) {
        let mut merged = SmallVec::with_capacity(self.len() + missing);
        let mut theirs = other.entries.iter().peekable();
        for (actor, ours) in mem::take(&mut self.entries) {
            while let Some((new, value)) = theirs.next_if(|(new, _)| *new < actor) {
                merged.push((new.clone(), fresh(value)));
            }
            let _same = theirs.next_if(|(new, _)| *new == actor);
            merged.push((actor, ours));
        }
        merged.extend(theirs.map(|(new, value)| (new.clone(), fresh(value))));
        self.entries = merged;
    }

    /// Does `holds` say yes for every actor of `other`, given what is here (if anything) and there?
    pub(crate) fn all_of<U>(&self, other: &ActorMap<A, U>, mut holds: impl FnMut(Option<&T>, &U) -> bool) -> bool {
        let mut at = 0;
        other.entries.iter().all(|(actor, theirs)| match self.search_from(at, actor) {
            Ok(found) => {
                at = found + 1;
                holds(Some(&self.entries[found].1), theirs)
            }
            Err(next) => {
                at = next;
                holds(None, theirs)
            }
        })
    }

    /// The order of two maps none of whose values are empty, from that of their values: is left within right, is
    /// right within left? More actors are never within fewer.
    #[inline]
    pub(crate) fn compare(&self, other: &Self, order: impl Fn(&T, &T) -> (bool, bool)) -> Causality {
        let (left, right) = (self.entries.as_slice(), other.entries.as_slice());
        if left.len() != right.len() {
            return self.compare_uneven(other, order);
        }
        let (mut before, mut after) = (true, true);
        for ((actor, ours), (other, theirs)) in left.iter().zip(right) {
            if actor != other {
                return Causality::Concurrent;
            }
            let (within, covers) = order(ours, theirs);
            (before, after) = (before & within, after & covers);
            if !(before | after) {
                return Causality::Concurrent;
            }
        }
        Causality::from_inclusions(before, after)
    }

    #[inline(never)]
    fn compare_uneven(&self, other: &Self, order: impl Fn(&T, &T) -> (bool, bool)) -> Causality {
        if self.len() < other.len() {
            let within = other.all_of(self, |theirs, ours| theirs.is_some_and(|theirs| order(ours, theirs).0));
            Causality::from_inclusions(within, false)
        } else {
            let covers = self.all_of(other, |ours, theirs| ours.is_some_and(|ours| order(ours, theirs).1));
            Causality::from_inclusions(false, covers)
        }
    }

    fn position(&self, actor: &A) -> Result<usize, usize> {
        self.entries.binary_search_by(|(held, _)| held.cmp(actor))
    }

    /// [`Self::position`] among the entries from `start` on, looking at the first of them first.
    fn search_from(&self, start: usize, actor: &A) -> Result<usize, usize> {
        match self.entries.get(start) {
            Some((held, _)) if held == actor => Ok(start),
            Some(_) => match self.entries[start..].binary_search_by(|(held, _)| held.cmp(actor)) {
                Ok(at) => Ok(start + at),
                Err(at) => Err(start + at),
            },
            None => Err(start),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ActorMap;
    use alloc::collections::BTreeMap;
    use quickcheck::quickcheck;

    fn map(entries: &BTreeMap<u8, u32>) -> ActorMap<u8, u32> {
        let mut map = ActorMap::default();
        for (actor, value) in entries {
            assert!(map.push(*actor, *value));
        }
        map
    }

    quickcheck! {
        fn merging_is_that_of_ordered_maps(left: BTreeMap<u8, u32>, right: BTreeMap<u8, u32>) -> bool {
            let mut merged = map(&left);
            merged.merge(&map(&right), |ours, theirs| *ours = (*ours).max(*theirs), |theirs| *theirs);
            let mut expected = left;
            for (actor, value) in right {
                let held = expected.entry(actor).or_insert(value);
                *held = (*held).max(value);
            }
            merged == map(&expected)
        }

        fn all_of_sees_each_actor_of_the_other_side_once(left: BTreeMap<u8, u32>, right: BTreeMap<u8, u32>) -> bool {
            let mut seen = alloc::vec::Vec::new();
            map(&left).all_of(&map(&right), |ours, theirs| {
                seen.push((ours.copied(), *theirs));
                true
            });
            seen.into_iter().eq(right.iter().map(|(actor, value)| (left.get(actor).copied(), *value)))
        }
    }
}
