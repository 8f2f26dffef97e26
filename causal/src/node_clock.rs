//! Concise causality for many places on one node (Gonçalves, Almeida, Baquero, Fonte 2015).
//!
//! A node whose dots come from one counter can say once, in its clock, what each of its places would have to say
//! about its past. A place *stripped* of that is often just its live dots. Stripped and filled states have different
//! types: merging a stripped one would resurrect what it has forgotten to mention.

use crate::{Actor, CausalContext, Dot, DotFun, Siblings};

/// Every dot whose whole effect a node has incorporated, over all its places.
///
/// It must be stored with the places in one atomic step: a clock newer than the places claims events that never
/// arrived, and filling a place with it deletes healthy copies elsewhere.
///
/// ```
/// use causal::{CausalContext, Minter, NodeClock, Siblings};
/// let mut minter = Minter::once("n");
/// let mut clock = NodeClock::new();
/// let mut place = Siblings::new();
/// let dot = place.update(&CausalContext::new(), &mut minter, "v")?;
/// clock.incorporate(dot);
/// let stored = place.clone().strip(&clock);
/// assert!(stored.residual().is_empty());                 // nothing but the live dot is stored
/// assert_eq!(stored.fill(&clock), place);
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeClock<A> {
    seen: CausalContext<A>,
}

impl<A> Default for NodeClock<A> {
    fn default() -> Self {
        Self { seen: CausalContext::default() }
    }
}

impl<A: Actor> NodeClock<A> {
    /// Nothing incorporated.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The effect of this event is stored here now, all of it; says whether it was new.
    pub fn incorporate(&mut self, dot: Dot<A>) -> bool {
        self.seen.insert(dot)
    }

    /// Everything another node had when a complete synchronisation with it began is stored here now.
    pub fn incorporate_all(&mut self, synchronised: &Self) {
        self.seen.union(&synchronised.seen);
    }

    /// The dots.
    #[must_use]
    pub fn seen(&self) -> &CausalContext<A> {
        &self.seen
    }

    /// What `other` has incorporated and this node has not.
    #[must_use]
    pub fn missing(&self, other: &Self) -> CausalContext<A> {
        self.seen.missing(&other.seen)
    }
}

/// A clock that was stored, as it was.
impl<A> From<CausalContext<A>> for NodeClock<A> {
    fn from(seen: CausalContext<A>) -> Self {
        Self { seen }
    }
}

/// A place as a node stores it: live dots, and of what was seen only what the node's clock does not say.
///
/// It cannot be merged, compared or handed out before it is filled:
///
/// ```compile_fail,E0599
/// use causal::{NodeClock, Siblings};
/// let clock = NodeClock::<u8>::new();
/// let mut stripped = Siblings::<u8, u8>::new().strip(&clock);
/// stripped.sync(&Siblings::new());                       // no such method
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Stripped<A, V> {
    live: DotFun<A, V>,
    residual: CausalContext<A>,
}

impl<A: Actor, V> Stripped<A, V> {
    pub(crate) fn new(live: DotFun<A, V>, residual: CausalContext<A>) -> Self {
        Self { live, residual }
    }

    /// A stored place from its parts.
    #[must_use]
    pub fn from_parts(live: DotFun<A, V>, residual: CausalContext<A>) -> Self {
        Self::new(live, residual)
    }

    /// The live dots with their values.
    #[must_use]
    pub fn live(&self) -> &DotFun<A, V> {
        &self.live
    }

    /// What was seen here and is not in the clock it was stripped by.
    #[must_use]
    pub fn residual(&self) -> &CausalContext<A> {
        &self.residual
    }

    /// Does nothing of it need to be stored any more? A place that was removed and whose removal the clock covers.
    #[must_use]
    pub fn is_forgettable(&self) -> bool {
        self.live.is_empty() && self.residual.is_empty()
    }

    /// The place with its full context: what it has seen itself, and all the node has.
    #[must_use]
    pub fn fill(self, clock: &NodeClock<A>) -> Siblings<A, V> {
        let mut context = self.residual;
        context.union(clock.seen());
        Siblings::from_parts(self.live, context)
    }
}
