//! A set of counters of one actor, as runs.
//!
//! Canonical: runs ascend, are not empty and never touch, so that equal sets have equal runs. Not a bitmap:
//! one hole and then 100,000 counters are two runs, and each further counter costs O(1).

use smallvec::SmallVec;

use crate::MAX_COUNTER;

/// What is wrong with a counter that no dot can have.
pub(crate) const IN_RANGE: &str = "a counter is from 1 to 2^62 - 1";

/// The counters `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// The smallest counter of the run, at least 1.
    pub first: u64,
    /// The greatest counter of the run, at least `first`.
    pub last: u64,
}

/// A set of counters, from 1 to [`MAX_COUNTER`]. One run needs no heap.
///
/// ```
/// use causal::IntervalSet;
/// let mut seen = IntervalSet::up_to(3);
/// seen.insert(5);
/// assert_eq!((seen.base(), seen.max(), seen.contains(4)), (3, 5, false));
/// assert_eq!(IntervalSet::up_to(6).minus(&seen).iter().collect::<Vec<_>>(), [4, 6]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct IntervalSet {
    runs: SmallVec<[Run; 1]>,
}

impl IntervalSet {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters `1..=last`; the empty set for 0.
    ///
    /// # Panics
    /// If `last` is beyond [`MAX_COUNTER`].
    #[must_use]
    pub fn up_to(last: u64) -> Self {
        assert!(last <= MAX_COUNTER, "{IN_RANGE}");
        let mut set = Self::new();
        if last > 0 {
            set.runs.push(Run { first: 1, last });
        }
        set
    }

    /// The runs, ascending.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Is there nothing in it?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// How many counters. O(runs).
    #[must_use]
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|run| run.last - run.first + 1).sum()
    }

    /// The greatest counter, 0 if empty.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.runs.last().map_or(0, |run| run.last)
    }

    /// The greatest `n` with all of `1..=n` in the set.
    #[must_use]
    pub fn base(&self) -> u64 {
        match self.runs.first() {
            Some(run) if run.first == 1 => run.last,
            _ => 0,
        }
    }

    /// O(log runs).
    #[must_use]
    pub fn contains(&self, counter: u64) -> bool {
        let after = self.runs.partition_point(|run| run.first <= counter);
        after > 0 && counter <= self.runs[after - 1].last
    }

    /// Adds one counter; says whether it was new. O(log runs) within or at the end of a run, O(runs) at worst.
    ///
    /// # Panics
    /// If `counter` is 0 or beyond [`MAX_COUNTER`].
    pub fn insert(&mut self, counter: u64) -> bool {
        assert!((1..=MAX_COUNTER).contains(&counter), "{IN_RANGE}");
        let after = self.runs.partition_point(|run| run.first <= counter);
        if after > 0 && counter <= self.runs[after - 1].last {
            return false;
        }
        let extends = after > 0 && self.runs[after - 1].last == counter - 1;
        let reaches = after < self.runs.len() && counter == self.runs[after].first - 1;
        match (extends, reaches) {
            (true, true) => {
                self.runs[after - 1].last = self.runs[after].last;
                self.runs.remove(after);
            }
            (true, false) => self.runs[after - 1].last = counter,
            (false, true) => self.runs[after].first = counter,
            (false, false) => self.runs.insert(after, Run { first: counter, last: counter }),
        }
        true
    }

    /// Adds a run of counters. O(1) beyond the last run, O(runs) elsewhere.
    ///
    /// # Panics
    /// If the run is empty, starts at 0, or ends beyond [`MAX_COUNTER`].
    pub fn insert_run(&mut self, run: Run) {
        assert!(0 < run.first && run.last <= MAX_COUNTER, "{IN_RANGE}");
        assert!(run.first <= run.last, "a run has at least one counter");
        if run.first > self.max() {
            self.push(run);
        } else {
            self.union(&Self { runs: SmallVec::from([run]) });
        }
    }

    /// Appends a run that lies beyond everything in the set, joining it to the last one if they touch.
    pub(crate) fn push(&mut self, run: Run) {
        match self.runs.last_mut() {
            Some(end) if run.first <= end.last.saturating_add(1) => end.last = end.last.max(run.last),
            _ => self.runs.push(run),
        }
    }

    /// Adds all of `other`. O(runs of both).
    pub fn union(&mut self, other: &Self) {
        if other.runs.first().is_some_and(|run| run.first > self.max()) {
            return other.runs.iter().for_each(|run| self.push(*run)); // news that follow on
        }
        if self.covers(other) {
            return;
        }
        let mut merged = Self::new();
        let (mut left, mut right) = (self.runs.iter().peekable(), other.runs.iter().peekable());
        loop {
            let next = match (left.peek(), right.peek()) {
                (Some(l), Some(r)) if l.first <= r.first => left.next(),
                (_, Some(_)) => right.next(),
                (Some(_), None) => left.next(),
                (None, None) => break,
            };
            if let Some(run) = next {
                merged.push(*run);
            }
        }
        *self = merged;
    }

    /// Is all of `other` in this set? O(runs of both).
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut ours = self.runs.iter().peekable();
        other.runs.iter().all(|run| {
            while ours.next_if(|our| our.last < run.first).is_some() {}
            ours.peek().is_some_and(|our| our.first <= run.first && run.last <= our.last)
        })
    }

    /// What is here and not in `other`. O(runs of both).
    #[must_use]
    pub fn minus(&self, other: &Self) -> Self {
        let mut rest = Self::new();
        let mut holes = other.runs.iter().peekable();
        for run in &self.runs {
            let mut first = run.first;
            while holes.next_if(|hole| hole.last < first).is_some() {}
            let mut ahead = holes.clone();
            while let Some(hole) = ahead.next_if(|hole| hole.first <= run.last) {
                if first < hole.first {
                    rest.runs.push(Run { first, last: hole.first - 1 });
                }
                first = hole.last.saturating_add(1);
            }
            if first <= run.last {
                rest.runs.push(Run { first, last: run.last });
            }
        }
        rest
    }

    /// What is in both. O(runs of both).
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        let mut both = Self::new();
        let (mut i, mut j) = (0, 0);
        while let (Some(l), Some(r)) = (self.runs.get(i), other.runs.get(j)) {
            let (first, last) = (l.first.max(r.first), l.last.min(r.last));
            if first <= last {
                both.runs.push(Run { first, last });
            }
            if l.last < r.last { i += 1 } else { j += 1 }
        }
        both
    }

    /// All counters, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.runs.iter().flat_map(|run| run.first..=run.last)
    }
}

impl FromIterator<u64> for IntervalSet {
    fn from_iter<I: IntoIterator<Item = u64>>(counters: I) -> Self {
        let mut set = Self::new();
        for counter in counters {
            set.insert(counter);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::IntervalSet;
    use alloc::collections::BTreeSet;

    fn set(mask: u32) -> (IntervalSet, BTreeSet<u64>) {
        let members: BTreeSet<u64> = (0..6).filter(|bit| mask >> bit & 1 == 1).map(|bit| bit + 1).collect();
        (members.iter().copied().collect(), members)
    }

    #[test]
    fn every_operation_agrees_with_sets_on_all_pairs_of_subsets_of_six() {
        for x in 0..64 {
            let (a, sa) = set(x);
            assert_eq!(a.iter().collect::<BTreeSet<_>>(), sa);
            assert_eq!(a.len(), sa.len() as u64);
            for y in 0..64 {
                let (b, sb) = set(y);
                let mut union = a.clone();
                union.union(&b);
                assert_eq!(union, sa.union(&sb).copied().collect());
                assert_eq!(a.minus(&b), sa.difference(&sb).copied().collect(), "{sa:?} - {sb:?}");
                assert_eq!(a.intersection(&b), sa.intersection(&sb).copied().collect());
                assert_eq!(a.covers(&b), sb.is_subset(&sa));
            }
        }
    }

    #[test]
    fn a_hole_and_then_many_counters_stay_two_runs() {
        let mut set = IntervalSet::up_to(1);
        for counter in 3..100_003 {
            set.insert(counter);
        }
        assert_eq!(set.runs().len(), 2);
        set.insert(2);
        assert_eq!(set.base(), 100_002);
    }
}
