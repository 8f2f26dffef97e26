//! Numbers that are added to: exactly the increments no visible reset has seen, in bounded space.

use causal::{Actor, ActorBytes, Dot, DotFun, Hlc, Run};

use crate::{Edit, Error, Payload, Seen, Tallies, Tally};
use crate::{dot_store, store_bytes};

/// What a live dot of a number says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contribution<A> {
    /// An actor's running total of increments.
    Tally(Tally),
    /// The number was set. `seen`: how far the increments that this replaced had run.
    Set {
        /// When, by hybrid clock: decides between concurrent ones.
        at: Hlc,
        /// To what.
        value: i64,
        /// What it has seen of each run.
        seen: Vec<Seen<A>>,
    },
    /// Everything was taken back. `seen`: what there was.
    Reset(Vec<Seen<A>>),
}

impl<A> Contribution<A> {
    fn seen(&self) -> &[Seen<A>] {
        match self {
            Contribution::Tally(_) => &[],
            Contribution::Set { seen, .. } | Contribution::Reset(seen) => seen,
        }
    }
}

impl<A: Actor> Payload<A> for Contribution<A> {
    fn stamp(&self) -> Hlc {
        match self {
            Contribution::Set { at, .. } => *at,
            Contribution::Tally(_) | Contribution::Reset(_) => Hlc(0),
        }
    }

    /// The running totals that were taken back: an increment that has not seen this carries them on.
    fn cleared<'a>(live: impl Iterator<Item = (&'a Dot<A>, &'a Self)> + Clone) -> Option<Self>
    where
        A: 'a,
    {
        let seen = marks(live);
        if seen.is_empty() { None } else { Some(Contribution::Reset(seen)) }
    }

    fn is_hidden(&self) -> bool {
        matches!(self, Contribution::Reset(_))
    }

    fn check_seen(place: &Edit<'_, DotFun<A, Self>>) -> Result<(), Error<A>> {
        is_as_seen(place)
    }
}

type Live<A> = DotFun<A, Contribution<A>>;

fn tallies<'a, A: Actor + 'a>(live: impl Iterator<Item = (&'a Dot<A>, &'a Contribution<A>)> + Clone) -> Tallies<A> {
    let counted = live.clone().filter_map(|(dot, said)| match said {
        Contribution::Tally(tally) => Some((dot, tally)),
        Contribution::Set { .. } | Contribution::Reset(_) => None,
    });
    Tallies::new(counted, live.flat_map(|(_, said)| said.seen()))
}

/// What a reset has to remember: of each actor, its newest run. An actor begins a run only when the one before is gone,
/// so whoever knows of the newer one has seen the older one go.
fn marks<'a, A: Actor + 'a>(live: impl Iterator<Item = (&'a Dot<A>, &'a Contribution<A>)> + Clone) -> Vec<Seen<A>> {
    let mut marks = tallies(live).reset(); // by actor, then by run
    marks.reverse();
    marks.dedup_by(|older, newer| older.run.actor == newer.run.actor);
    marks.reverse();
    marks
}

/// A total that has moved on since it was seen cannot be taken back as it was then.
///
/// # Errors
/// [`Error::Stale`] if there is one.
fn is_as_seen<A: Actor>(place: &Edit<'_, Live<A>>) -> Result<(), Error<A>> {
    let moved = place.everything().any(|(dot, said)| match said {
        Contribution::Tally(tally) => {
            let (all, some) = place.sees_run(&dot.actor, Run { first: tally.run, last: dot.counter });
            some && !all && !place.live().any(|(seen, _)| seen == dot)
        }
        Contribution::Set { .. } | Contribution::Reset(_) => false,
    });
    if moved { Err(Error::Stale) } else { Ok(()) }
}

fn increment<A: Actor>(mut place: Edit<'_, Live<A>>, amount: i64) -> Result<(), Error<A>> {
    let actor = place.actor().clone();
    let tallies = tallies(place.everything()); // who adds need not have seen anything
    let (mut tally, replaced) = tallies.increment(&Dot { actor, counter: 1 }, amount).ok_or(Error::Overflow)?;
    let begins = replaced.is_none();
    place.mint(|dot| {
        tally.run = if begins { dot.counter } else { tally.run };
        Contribution::Tally(tally)
    })?;
    replaced.into_iter().for_each(|dot| place.supersede(dot)); // not before: half a step is no step
    Ok(())
}

/// The sum of the increments that no visible reset has seen: exactly, though there is but one live dot for each actor,
/// and one for each reset that increments elsewhere may not know of yet, which has a mark for each actor. (The rule and why
/// it is exact: the module `tally`.) Removing it in a map is a reset.
///
/// ```
/// use causal::Minter;
/// use crdt::{Counter, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Counter<&str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|n| n.add(5))?)?;
/// let reset = b.edit(|n| n.clear())?;                // has seen 5
/// let one_more = a.edit(|n| n.add(1))?;              // concurrent with the reset
/// a.apply(&reset)?;
/// b.apply(&one_more)?;
/// assert_eq!((a.value(), b.value()), (1, 1));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter<A> {
    live: Live<A>,
}

impl<A> Default for Counter<A> {
    fn default() -> Self {
        Self { live: DotFun::default() }
    }
}

dot_store!(Counter<A: Actor> by A { live: Live<A> });
store_bytes!(Counter<A: ActorBytes> by A, "counter" { live: DotFun<A, Contribution<A>> });

impl<A: Actor> Counter<A> {
    /// The sum; saturates at the ends of `i64`.
    #[must_use]
    pub fn value(&self) -> i64 {
        tallies(self.live.iter()).value()
    }
}

impl<A: Actor> Edit<'_, Counter<A>> {
    /// Adds `amount`, which may be negative.
    ///
    /// # Errors
    /// [`Error::Overflow`] if the actor's running total would leave `i64`; [`Error::Lease`] or [`Error::Exhausted`] if
    /// there is no dot.
    pub fn add(&mut self, amount: i64) -> Result<(), Error<A>> {
        increment(self.field(|counter| &counter.live, |counter| &mut counter.live), amount)
    }
}

/// A number that is set as well as added to: the value set last (by causality, then by hybrid clock and actor) and the
/// increments that nothing visible has seen and replaced. Setting to 10 concurrent with adding 2 reads 12.
///
/// ```
/// use causal::Minter;
/// use crdt::{Num, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Num<&str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|n| n.add(5))?)?;
/// let (set, added) = (a.edit(|n| n.set(10))?, b.edit(|n| n.add(2))?);
/// a.apply(&added)?;
/// b.apply(&set)?;
/// assert_eq!((a.value(), b.value()), (Some(12), Some(12)));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Num<A> {
    live: Live<A>,
}

impl<A> Default for Num<A> {
    fn default() -> Self {
        Self { live: DotFun::default() }
    }
}

dot_store!(Num<A: Actor> by A { live: Live<A> });
store_bytes!(Num<A: ActorBytes> by A, "num" { live: DotFun<A, Contribution<A>> });

impl<A: Actor> Num<A> {
    /// The number, if it was ever set or added to and not removed since; saturates at the ends of `i64`.
    #[must_use]
    pub fn value(&self) -> Option<i64> {
        number(self.live.iter())
    }
}

/// What numbers read.
fn number<'a, A: Actor + 'a>(live: impl Iterator<Item = (&'a Dot<A>, &'a Contribution<A>)> + Clone) -> Option<i64> {
    let tallies = tallies(live.clone());
    let sets = live.filter_map(|(dot, said)| match said {
        Contribution::Set { at, value, .. } => Some(((at, dot), *value)),
        Contribution::Tally(_) | Contribution::Reset(_) => None,
    });
    match sets.max_by_key(|(order, _)| *order) {
        Some((_, set)) => Some(set.saturating_add(tallies.value())),
        None if tallies.is_empty() => None,
        None => Some(tallies.value()),
    }
}

impl<A: Actor> Edit<'_, Num<A>> {
    /// The number now, this edit's steps included.
    pub fn value(&mut self) -> Option<i64> {
        number(self.field(|num| &num.live, |num| &mut num.live).everything())
    }

    /// Adds `amount`, which may be negative.
    ///
    /// # Errors
    /// Those of [`Edit::<Counter<A>>::add`].
    pub fn add(&mut self, amount: i64) -> Result<(), Error<A>> {
        increment(self.field(|num| &num.live, |num| &mut num.live), amount)
    }

    /// Sets the number, in place of what is here.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn set(&mut self, value: i64) -> Result<(), Error<A>> {
        let at = self.now();
        let mut place = self.field(|num| &num.live, |num| &mut num.live);
        is_as_seen(&place)?;
        let seen = marks(place.live());
        place.replace(Contribution::Set { at, value, seen }).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::Counter;
    use crate::Replica;
    use causal::Minter;

    /// Each reset once kept the mark of every run there had ever been.
    #[test]
    fn a_counter_that_is_reset_again_and_again_stays_small() {
        let mut counter = Replica::<Counter<&str>>::new(Minter::once("a"));
        for _ in 0..50 {
            let _ = counter
                .edit(|n| {
                    n.add(1)?;
                    n.clear()
                })
                .unwrap();
        }
        assert!(format!("{:?}", counter.live).len() < 300, "{:?}", counter.live);
    }
}
