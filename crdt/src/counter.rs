//! A counter that can be reset: exactly the increments no visible reset has seen, in bounded space.

use causal::{Actor, CausalContext, DotFun};

use crate::{Causal, Delta, Seen, Tallies, Tally};

/// What a live dot of a counter says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Contribution<A> {
    /// An actor's running total.
    Tally(Tally),
    /// A reset, with what it had seen.
    Reset(Vec<Seen<A>>),
}

/// A resettable counter: one live dot per actor, and one per reset that concurrent increments may not know.
///
/// ```
/// use crdt::Counter;
/// let mut a: Counter<&str> = Counter::new();
/// let mut b = a.clone();
/// b.merge_delta(&a.add("a", 5).unwrap())?;
/// let reset = b.reset("b");                     // has seen 5
/// let one_more = a.add("a", 1).unwrap();        // concurrent with the reset
/// a.merge_delta(&reset)?;
/// b.merge_delta(&one_more)?;
/// assert_eq!((a.value(), b.value()), (1, 1));
/// # Ok::<(), causal::DoubleSpentDot<&str>>(())
/// ```
pub type Counter<A> = Causal<DotFun<A, Contribution<A>>>;

impl<A: Actor> Counter<A> {
    fn tallies(&self) -> Tallies<A> {
        let live = self.store.iter().filter_map(|(dot, said)| match said {
            Contribution::Tally(tally) => Some((dot, tally)),
            Contribution::Reset(_) => None,
        });
        let seen = self.store.iter().flat_map(|(_, said)| match said {
            Contribution::Tally(_) => &[][..],
            Contribution::Reset(seen) => seen,
        });
        Tallies::new(live, seen)
    }

    /// The sum of the increments that no visible reset has seen; saturates at the ends of `i64`.
    #[must_use]
    pub fn value(&self) -> i64 {
        self.tallies().value()
    }

    /// Adds `amount`, which may be negative. `None`, and nothing done, if the actor's total would leave `i64`.
    pub fn add(&mut self, actor: A, amount: i64) -> Option<Delta<DotFun<A, Contribution<A>>>> {
        let dot = self.mint(actor);
        let (tally, replaced) = self.tallies().increment(&dot, amount)?;
        let touched = DotFun::from_iter([(dot, Contribution::Tally(tally))]);
        Some(self.apply(touched, replaced.into_iter().collect()))
    }

    /// Takes back every increment seen here; concurrent ones stay.
    pub fn reset(&mut self, actor: A) -> Delta<DotFun<A, Contribution<A>>> {
        let replaced: CausalContext<A> = self.store.dots().cloned().collect();
        let touched = DotFun::from_iter([(self.mint(actor), Contribution::Reset(self.tallies().reset()))]);
        self.apply(touched, replaced)
    }
}
