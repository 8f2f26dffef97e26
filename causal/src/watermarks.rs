//! What everybody has: the cut below which the past may be forgotten.

use alloc::collections::BTreeMap;

use crate::{Actor, CausalContext, NodeClock};

/// What each member of a fixed group is known to have incorporated, durably.
///
/// ```
/// use causal::{Dot, NodeClock, Watermarks};
/// let clock = |dots: &[u64]| {
///     let mut clock = NodeClock::new();
///     dots.iter().for_each(|n| { clock.incorporate(Dot::new("a", *n)); });
///     clock
/// };
/// let mut known = Watermarks::new(["phone", "laptop"]);
/// known.advance(&"phone", &clock(&[1, 2, 3]));
/// assert!(known.stable_cut().seen().is_empty());         // nothing heard from the laptop yet
/// known.advance(&"laptop", &clock(&[1, 3]));
/// assert!(known.stable_cut().contains(&Dot::new("a", 3)));
/// assert!(!known.stable_cut().contains(&Dot::new("a", 2)));
/// ```
#[derive(Clone, Debug)]
pub struct Watermarks<M, A> {
    known: BTreeMap<M, CausalContext<A>>,
}

impl<M: Ord, A: Actor> Watermarks<M, A> {
    /// Nothing known of any of the members.
    #[must_use]
    pub fn new(members: impl IntoIterator<Item = M>) -> Self {
        Self { known: members.into_iter().map(|member| (member, CausalContext::new())).collect() }
    }

    /// A member says what it has incorporated. Clocks only grow, so that old news does no harm. Says whether it is
    /// a member.
    pub fn advance(&mut self, member: &M, clock: &NodeClock<A>) -> bool {
        let known = self.known.get_mut(member);
        known.map(|known| known.union(clock.seen())).is_some()
    }

    /// The dots every member has. Empty for a group without members: nobody is not everybody. O(members x runs).
    #[must_use]
    pub fn stable_cut(&self) -> StableCut<A> {
        let all = self.known.values().cloned().reduce(|cut, known| cut.intersection(&known));
        StableCut { seen: all.unwrap_or_default() }
    }
}

/// Dots that every member of a group has incorporated. Comes only from [`Watermarks::stable_cut`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StableCut<A> {
    seen: CausalContext<A>,
}

impl<A: Actor> StableCut<A> {
    /// Does every member have this event?
    #[must_use]
    pub fn contains(&self, dot: &crate::Dot<A>) -> bool {
        self.seen.contains(dot)
    }

    /// The dots.
    #[must_use]
    pub fn seen(&self) -> &CausalContext<A> {
        &self.seen
    }
}
