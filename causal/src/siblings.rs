//! The DVV set whose context may have gaps: what partitions store and deltas carry.
//!
//! State `(L, C)`: live dots with payloads, and every dot ever seen here; `L` is within `C`.
//! Order: `(L1,C1) <= (L2,C2)` iff `C1` is within `C2` and `L2 & C1` is within `L1`; comparing contexts alone
//! would miss removals that minted no dot. `join(x, y) = y` iff `x <= y`.

use crate::{
    Actor, CausalContext, Causality, Dot, DotFun, DoubleSpentDot, JoinOutcome, Lease, MintError, Minter, NodeClock,
    Stripped,
};

/// The siblings of one place with everything seen there.
///
/// ```
/// use causal::{CausalContext, Causality, Minter, Siblings};
/// let mut minter = Minter::once(1u64);
/// let mut cart = Siblings::new();
/// let milk = cart.update(&CausalContext::new(), &mut minter, "milk")?;
/// let mut other = cart.clone();
/// other.discard(&[milk].into_iter().collect());         // a removal that has seen the milk
/// assert_eq!(cart.compare(&other), Causality::Before);  // the contexts alone are equal
/// cart.sync(&other)?;
/// assert!(cart.is_empty());
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Siblings<A, V> {
    live: DotFun<A, V>,
    context: CausalContext<A>,
}

impl<A, V> Default for Siblings<A, V> {
    fn default() -> Self {
        Self { live: DotFun::default(), context: CausalContext::default() }
    }
}

impl<A: Actor, V> Siblings<A, V> {
    /// Nothing written, nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A state from its parts: the live dots count as seen.
    #[must_use]
    pub fn from_parts(live: DotFun<A, V>, mut context: CausalContext<A>) -> Self {
        context.extend(live.dots().cloned());
        Self { live, context }
    }

    /// The live dots with their values.
    #[must_use]
    pub fn live(&self) -> &DotFun<A, V> {
        &self.live
    }

    /// The values, by ascending dot.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + Clone + '_ {
        self.live.iter().map(|(_, value)| value)
    }

    /// The live dots, ascending.
    pub fn dots(&self) -> impl ExactSizeIterator<Item = &Dot<A>> + Clone + '_ {
        self.live.dots()
    }

    /// How many values are live.
    #[must_use]
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Is no value live?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Everything seen here: what a reader of these values hands back with its next write. (*join* in the papers.)
    #[must_use]
    pub fn context(&self) -> &CausalContext<A> {
        &self.context
    }

    /// Merges another state of the same place. O(runs + values of both).
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two values; nothing is changed then.
    pub fn sync(&mut self, other: &Self) -> Result<JoinOutcome<A>, DoubleSpentDot<A>>
    where
        V: Clone + PartialEq,
    {
        let mut outcome = self.live.join(&self.context, &other.live, &other.context)?;
        outcome.learned = !self.context.covers(&other.context);
        self.context.union(&other.context);
        Ok(outcome)
    }

    /// Removes what `seen` contains, and has seen all of it from now on. O(runs + values). Mints no dot: who compares
    /// nothing but contexts does not notice.
    pub fn discard(&mut self, seen: &CausalContext<A>) {
        self.live.discard(seen);
        self.context.union(seen);
    }

    /// A fresh dot of `minter` for a write whose author has read `seen`.
    ///
    /// # Errors
    /// [`MintError::Amnesia`] if `seen` or this place knows a dot of the minter's actor that the minter has not given
    /// out; the lease's error; [`MintError::Exhausted`].
    pub fn event<L: Lease<A>>(
        &self,
        seen: &CausalContext<A>,
        minter: &mut Minter<A, L>,
    ) -> Result<Dot<A>, MintError<A, L::Error>> {
        minter.witness(seen)?;
        minter.witness(&self.context)?;
        minter.mint()
    }

    /// A write whose author has read `seen`, under a fresh dot of `minter`: *event*, then *discard*. Gives the dot.
    ///
    /// The dot and what its author had read, [`seen.with(dot)`](CausalContext::with), is what the author may
    /// replace next; [`Self::context`] is for those who have read [`Self::values`].
    ///
    /// ```
    /// use causal::{CausalContext, Minter, Siblings};
    /// let mut minter = Minter::once("r");
    /// let mut place = Siblings::new();
    /// place.update(&CausalContext::new(), &mut minter, "theirs")?;
    /// let mine = place.update(&CausalContext::new(), &mut minter, "mine, draft")?;
    /// place.update(&CausalContext::new().with(mine), &mut minter, "mine")?;
    /// assert_eq!(place.values().copied().collect::<Vec<_>>(), ["theirs", "mine"]);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::event`]; nothing is changed then.
    pub fn update<L: Lease<A>>(
        &mut self,
        seen: &CausalContext<A>,
        minter: &mut Minter<A, L>,
        value: V,
    ) -> Result<Dot<A>, MintError<A, L::Error>> {
        let dot = self.event(seen, minter)?;
        self.discard(seen);
        self.context.insert(dot.clone());
        self.live.insert(dot.clone(), value);
        Ok(dot)
    }

    /// The smallest state that brings anybody who has seen `known` as far as this one: only values that are not
    /// in `known` travel. Everything here that is not live, or is new, is named as runs, so that removals that
    /// minted no dot travel as well.
    ///
    /// ```
    /// use causal::{CausalContext, Minter, Siblings};
    /// let mut minter = Minter::once("a");
    /// let mut here = Siblings::new();
    /// here.update(&CausalContext::new(), &mut minter, "old")?;
    /// let mut there = here.clone();
    /// here.update(&CausalContext::new(), &mut minter, "new")?;
    /// let delta = here.delta_since(there.context());
    /// assert_eq!(delta.values().copied().collect::<Vec<_>>(), ["new"]);
    /// there.sync(&delta)?;
    /// assert_eq!(there, here);
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[must_use]
    pub fn delta_since(&self, known: &CausalContext<A>) -> Self
    where
        V: Clone,
    {
        let news = self.live.iter().filter(|(dot, _)| !known.contains(dot));
        let live = news.map(|(dot, value)| (dot.clone(), value.clone())).collect();
        let untold: CausalContext<A> = self.live.dots().filter(|dot| known.contains(dot)).cloned().collect();
        Self { live, context: self.context.minus(&untold) }
    }

    /// Has this place seen everything `context` has?
    #[must_use]
    pub fn covers(&self, context: &CausalContext<A>) -> bool {
        self.context.covers(context)
    }

    /// The lattice order. O(runs + values of both).
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        Causality::from_inclusions(self.within(other), other.within(self))
    }

    fn within(&self, other: &Self) -> bool {
        other.context.covers(&self.context)
            && other.live.dots().all(|dot| !self.context.contains(dot) || self.live.get(dot).is_some())
    }

    /// Leaves out of the context what the node's clock says for all of its places. See [`Stripped`].
    #[must_use]
    pub fn strip(self, clock: &NodeClock<A>) -> Stripped<A, V> {
        let residual = self.context.minus(clock.seen());
        Stripped::new(self.live, residual)
    }
}
