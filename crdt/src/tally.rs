//! Resettable counters, exact and bounded.
//!
//! One dot per increment would be exact but grows; folding increments into one dot is bounded, but a reset that
//! saw only the older dot would then be undone (the anomaly of embedded counters elsewhere). So an actor keeps
//! *one* live dot per counter, with the running total of its *run*; a reset records, per run, the last total it
//! has seen; and the value is the sum of totals minus what resets have seen of the same run:
//!
//! `value = sum over live tallies of (total - total at the last mark)`, the last mark being the newest that the
//! tally itself or any live reset knows of its run. A run is named by its first dot, so one that was reset away
//! entirely and begun anew is another run.
//!
//! Each tally replaces the one before it. If one was lost everywhere (its author's disk, before anybody heard of it), both its
//! neighbours are live for good: totals are running ones, so the latest of a run has the others in it, and counts alone.

use causal::{Actor, Dot};

/// How far something has seen a run: up to the actor's `upto`-th event, when the total was `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Mark {
    /// The counter of the last event of the run that was seen; 0 for none.
    pub upto: u64,
    /// The run's total at that event.
    pub total: i64,
}

/// One actor's contribution to one counter; its dot is the latest of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Tally {
    /// The counter of the run's first dot.
    pub run: u64,
    /// Sum of all increments of the run.
    pub total: i64,
    /// What resets had seen of this run, as far as its actor knew.
    pub reset: Mark,
}

/// What a reset has seen of one run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Seen<A> {
    /// The first dot of the run.
    pub run: Dot<A>,
    /// How far.
    pub mark: Mark,
}

/// A view of one counter: its live tallies, and the marks of its live resets.
#[derive(Clone, Debug)]
pub struct Tallies<A> {
    live: Vec<(Dot<A>, Tally)>,
    seen: Vec<Seen<A>>,
}

impl<A: Actor> Tallies<A> {
    /// A view from its live parts.
    pub fn new<'a>(
        live: impl IntoIterator<Item = (&'a Dot<A>, &'a Tally)>,
        seen: impl IntoIterator<Item = &'a Seen<A>>,
    ) -> Self
    where
        A: 'a,
    {
        let live = live.into_iter().map(|(dot, tally)| (dot.clone(), *tally)).collect();
        let mut view = Self { live, seen: Vec::new() };
        seen.into_iter().for_each(|seen| view.see(seen));
        view
    }

    fn see(&mut self, seen: &Seen<A>) {
        match self.seen.iter_mut().find(|known| known.run == seen.run) {
            Some(known) if known.mark.upto < seen.mark.upto => known.mark = seen.mark,
            Some(_) => {}
            None => self.seen.push(seen.clone()),
        }
    }

    fn mark(&self, run: &Dot<A>, own: Mark) -> Mark {
        let known = self.seen.iter().find(|seen| seen.run == *run).map_or(own, |seen| seen.mark);
        if known.upto > own.upto { known } else { own }
    }

    /// Is nothing counted here?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// The sum of the increments that no visible reset has seen; saturates at the ends of `i64`.
    #[must_use]
    pub fn value(&self) -> i64 {
        let sum: i128 = self
            .live
            .iter()
            .filter(|(dot, tally)| self.is_latest(dot, tally))
            .map(|(dot, tally)| {
                let mark = self.mark(&run_of(dot, tally), tally.reset);
                // Whoever has seen a later event of the run has seen this one.
                let is_seen = mark.upto >= dot.counter;
                if is_seen { 0 } else { i128::from(tally.total) - i128::from(mark.total) }
            })
            .sum();
        i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
    }

    /// Is no later tally of its run live?
    fn is_latest(&self, dot: &Dot<A>, tally: &Tally) -> bool {
        let is_later = |(other, later): &(Dot<A>, Tally)| {
            other.actor == dot.actor && later.run == tally.run && other.counter > dot.counter
        };
        !self.live.iter().any(is_later)
    }

    /// The tally that carries `actor`'s contribution on by `amount` under the new dot `dot`, and the dot it
    /// replaces. `None` if the running total would leave `i64`.
    #[must_use]
    pub fn increment(&self, dot: &Dot<A>, amount: i64) -> Option<(Tally, Option<Dot<A>>)> {
        let Some((last, tally)) = self.live.iter().rev().find(|(live, _)| live.actor == dot.actor) else {
            return Some((Tally { run: dot.counter, total: amount, reset: Mark::default() }, None));
        };
        let total = tally.total.checked_add(amount)?;
        let reset = self.mark(&run_of(last, tally), tally.reset);
        Some((Tally { run: tally.run, total, reset }, Some(last.clone())))
    }

    /// What a reset that sees all of this has to record: every live run up to its latest dot, and whatever
    /// earlier resets recorded.
    #[must_use]
    pub fn reset(&self) -> Vec<Seen<A>> {
        let mut all = self.clone();
        for (dot, tally) in &self.live {
            all.see(&Seen { run: run_of(dot, tally), mark: Mark { upto: dot.counter, total: tally.total } });
        }
        all.seen.sort_by(|x, y| x.run.cmp(&y.run));
        all.seen
    }

    /// Does some live tally still need this mark to be read rightly?
    #[must_use]
    pub fn needs(&self, seen: &Seen<A>) -> bool {
        self.live.iter().any(|(dot, tally)| run_of(dot, tally) == seen.run && tally.reset.upto < seen.mark.upto)
    }
}

fn run_of<A: Clone>(dot: &Dot<A>, tally: &Tally) -> Dot<A> {
    Dot { actor: dot.actor.clone(), counter: tally.run }
}

#[cfg(test)]
mod tests {
    use causal::Dot;

    use super::{Mark, Tallies, Tally};

    /// The story: a node counted to 8, and 7 was lost with its disk before anybody had heard of it. The tally of 8 replaced that
    /// of 7, and nothing replaced that of 6: both were live for good, and the counter said 14.
    #[test]
    fn of_a_run_whose_middle_was_lost_the_latest_tally_counts() {
        let tally = |total| Tally { run: 24, total, reset: Mark::default() };
        let (six, eight, other) = (Dot::new(1, 84), Dot::new(1, 99), Dot::new(2, 13));
        let others = Tally { run: 9, total: 2, reset: Mark::default() };
        let live = [(&six, &tally(6)), (&eight, &tally(8)), (&other, &others)];
        assert_eq!(Tallies::new(live, []).value(), 10);
        // A reset that has seen all of it leaves nothing of it, whichever of the two is still heard of.
        let reset = Tallies::new(live, []).reset();
        for late in [(&six, &tally(6)), (&eight, &tally(8))] {
            let seen = Tallies::new([late], &reset);
            assert_eq!(seen.value(), 0);
        }
    }
}
