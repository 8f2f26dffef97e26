//! The DVV set whose context may have gaps: what partitions store and deltas carry.
//!
//! State `(L, C)`: live dots with payloads, and every dot ever seen here; `L` is within `C`.
//! Order: `(L1,C1) <= (L2,C2)` iff `C1` is within `C2` and `L2 & C1` is within `L1`; comparing contexts alone
//! would miss removals that minted no dot. `join(x, y) = y` iff `x <= y`.

use crate::{Actor, CausalContext, Causality, Dot, DotFun, DoubleSpentDot, JoinOutcome};

/// The siblings of one place with everything seen there.
///
/// ```
/// use causal::{CausalContext, Causality, Siblings};
/// let mut cart = Siblings::new();
/// let milk = cart.update(&CausalContext::new(), 1u64, "milk");
/// let mut other = cart.clone();
/// other.discard(&[milk].into_iter().collect());         // a removal that has seen the milk
/// assert_eq!(cart.compare(&other), Causality::Before);  // the contexts alone are equal
/// cart.sync(&other)?;
/// assert!(cart.is_empty());
/// # Ok::<(), causal::DoubleSpentDot<u64>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Siblings<A: Actor, V> {
    live: DotFun<A, V>,
    #[cfg_attr(feature = "serde", serde(bound(deserialize = "A: serde::Deserialize<'de>")))]
    context: CausalContext<A>,
}

impl<A: Actor, V> Default for Siblings<A, V> {
    fn default() -> Self {
        Self { live: DotFun::new(), context: CausalContext::new() }
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

    /// Merges another state of the same place.
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two values; nothing is changed then.
    pub fn sync(&mut self, other: &Self) -> Result<JoinOutcome<A>, DoubleSpentDot<A>>
    where
        V: Clone + PartialEq,
    {
        let outcome = self.live.join(&self.context, &other.live, &other.context)?;
        self.context.union(&other.context);
        Ok(outcome)
    }

    /// Removes what `seen` contains, and has seen all of it from now on.
    pub fn discard(&mut self, seen: &CausalContext<A>) {
        self.live.discard(seen);
        self.context.union(seen);
    }

    /// The next dot of `actor` here. Only sound if `actor` writes nowhere else and has forgotten nothing.
    #[must_use]
    pub fn event(&self, actor: A) -> Dot<A> {
        let counter = self.context.max(&actor) + 1;
        Dot::new(actor, counter)
    }

    /// A write by `actor` whose author has read `seen`: *discard*, then *event*. Gives the dot of the write.
    pub fn update(&mut self, seen: &CausalContext<A>, actor: A, value: V) -> Dot<A> {
        self.discard(seen);
        let dot = self.event(actor);
        self.live.insert(dot.clone(), value);
        self.context.insert(dot.clone());
        dot
    }

    /// The lattice order.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        Causality::from_inclusions(self.within(other), other.within(self))
    }

    fn within(&self, other: &Self) -> bool {
        other.context.covers(&self.context)
            && other.live.dots().all(|dot| !self.context.contains(dot) || self.live.get(dot).is_some())
    }
}
