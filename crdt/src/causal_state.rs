//! A dot store under its one context, and the deltas its operations give.

use causal::{CausalContext, Dot, DoubleSpentDot};

use crate::DotStore;

/// A whole state: what is live, and everything ever seen.
///
/// The context stands here and nowhere deeper: nested types cannot mint, so a removed and re-created entry never
/// counts from 1 again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Causal<S: DotStore> {
    pub(crate) store: S,
    context: CausalContext<S::Actor>,
}

/// What one operation changed: the touched entries, and exactly the dots it added or replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an operation that is not sent to the other replicas is known here only"]
pub struct Delta<S: DotStore> {
    store: S,
    context: CausalContext<S::Actor>,
}

impl<S: DotStore> Default for Causal<S> {
    fn default() -> Self {
        Self { store: S::default(), context: CausalContext::new() }
    }
}

impl<S: DotStore> Causal<S> {
    /// Nothing written, nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything seen here.
    #[must_use]
    pub fn context(&self) -> &CausalContext<S::Actor> {
        &self.context
    }

    /// Merges another replica's whole state. O(entries of both).
    ///
    /// # Errors
    /// [`DoubleSpentDot`]: see [`DotStore::join`].
    pub fn merge(&mut self, other: &Self) -> Result<(), DoubleSpentDot<S::Actor>> {
        self.store.join(&self.context, &other.store, &other.context)?;
        self.context.union(&other.context);
        Ok(())
    }

    /// Merges a delta. O(entries of the delta).
    ///
    /// # Errors
    /// [`DoubleSpentDot`]: see [`DotStore::join`].
    pub fn merge_delta(&mut self, delta: &Delta<S>) -> Result<(), DoubleSpentDot<S::Actor>> {
        self.store.join_delta(&self.context, &delta.store, &delta.context)?;
        self.context.union(&delta.context);
        Ok(())
    }

    /// The next dot of `actor`, which must write nowhere else and have forgotten nothing.
    pub(crate) fn mint(&self, actor: S::Actor) -> Dot<S::Actor> {
        let counter = self.context.max(&actor) + 1;
        Dot::new(actor, counter)
    }

    /// Applies what this replica has just done: `touched` is live now in place of `replaced`.
    pub(crate) fn apply(&mut self, touched: S, replaced: CausalContext<S::Actor>) -> Delta<S> {
        let mut context = replaced;
        touched.collect_dots(&mut context);
        let delta = Delta { store: touched, context };
        let fresh = self.merge_delta(&delta);
        debug_assert!(fresh.is_ok(), "a freshly minted dot has no other payload");
        delta
    }
}
