//! A dot store under its one context, and the deltas that edits give.

use std::ops::Deref;

use causal::{CausalContext, Causality, DoubleSpentDot, Hlc};

use crate::DotStore;

/// A whole state: what is live, and everything ever seen. Reads go through it to the type:
/// `state.contains(..)`.
///
/// The context stands here and nowhere deeper: nested types cannot mint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State<S: DotStore> {
    store: S,
    context: CausalContext<S::Actor>,
}

/// What one edit changed: the touched entries, and exactly the dots it added or replaced. Deltas merge into states in
/// any order, any number of times, and with each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "an edit that is not sent to the other replicas is known here only"]
pub struct Delta<S: DotStore> {
    store: S,
    context: CausalContext<S::Actor>,
    /// Do all its dots lie under the entries it names? If not, applying it looks at every entry.
    named: bool,
}

impl<S: DotStore> Default for State<S> {
    fn default() -> Self {
        Self { store: S::default(), context: CausalContext::new() }
    }
}

impl<S: DotStore> Default for Delta<S> {
    fn default() -> Self {
        Self { store: S::default(), context: CausalContext::new(), named: true }
    }
}

impl<S: DotStore> Deref for State<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.store
    }
}

impl<S: DotStore> State<S> {
    /// Nothing written, nothing seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub(crate) fn from_parts(store: S, context: CausalContext<S::Actor>) -> Self {
        Self { store, context }
    }

    pub(crate) fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// Everything seen here.
    #[must_use]
    pub fn context(&self) -> &CausalContext<S::Actor> {
        &self.context
    }

    /// Merges another replica's whole state. O(entries of both).
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two payloads at one place (see [`DotStore::agrees`]); nothing is changed then.
    pub fn merge(&mut self, other: &Self) -> Result<(), DoubleSpentDot<S::Actor>> {
        self.store.agrees(&other.store)?;
        self.store.join(&self.context, &other.store, &other.context);
        self.context.union(&other.context);
        Ok(())
    }

    /// Merges a delta. O(entries of the delta) if it comes from an edit; one from [`Self::diff`] that removes looks at
    /// every entry.
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two payloads; nothing is changed then.
    pub fn apply(&mut self, delta: &Delta<S>) -> Result<(), DoubleSpentDot<S::Actor>> {
        self.store.agrees(&delta.store)?;
        self.take(delta);
        Ok(())
    }

    /// [`Self::apply`] for a delta that was made here: its dots are fresh.
    pub(crate) fn take(&mut self, delta: &Delta<S>) {
        if delta.named {
            self.store.join_delta(&self.context, &delta.store, &delta.context);
        } else {
            self.store.join(&self.context, &delta.store, &delta.context);
        }
        self.context.union(&delta.context);
    }

    /// Are two states the same, or has one everything of the other? The lattice order: a removal is news.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Causality {
        Causality::from_inclusions(self.within(other), other.within(self))
    }

    fn within(&self, other: &Self) -> bool {
        let (ours, mut kept) = (self.store.dots(), true);
        other.store.each_dot(&mut |dot| kept &= !self.context.contains(dot) || ours.contains(dot));
        kept && other.context.covers(&self.context)
    }

    /// What somebody else must be told to send back only what is missing here: small, and enough for
    /// [`Self::diff`].
    #[must_use]
    pub fn digest(&self) -> Digest<S> {
        Digest { context: self.context.clone(), live: self.store.dots() }
    }

    /// The smallest delta that brings whoever gave `digest` as far as this state: payloads they have not seen, and
    /// removals of what is live there. (Enes et al. 2019, section 4: the join of the irredundant parts they lack.)
    pub fn diff(&self, digest: &Digest<S>) -> Delta<S> {
        let news = self.context.minus(&digest.context);
        let live = self.store.dots();
        let removals = self.context.intersection(&digest.live).minus(&live);
        let mut context = news.clone();
        context.union(&removals);
        let store = self.store.part(&context); // of what was removed, whatever has to be remembered
        let named = removals.is_empty() && store.dots().covers(&news);
        Delta { store, context, named }
    }

    /// The whole state as deltas that have nothing in common and together are all of it: one for each live dot, and
    /// one for each run of dots that are not live any more. O(n^2): for tests, and for small states.
    pub fn parts(&self) -> Vec<Delta<S>> {
        let live = self.store.dots();
        let mut parts = Vec::new();
        for dot in live.dots() {
            let context = [dot].into_iter().collect();
            parts.push(Delta { store: self.store.part(&context), context, named: true });
        }
        for (actor, run) in self.context.minus(&live).runs() {
            let mut context = CausalContext::new();
            context.insert_run(actor.clone(), run);
            let store = self.store.part(&context);
            parts.push(Delta { store, context, named: false });
        }
        parts
    }
}

/// What a replica has seen and what lives there: dots only, no payloads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest<S: DotStore> {
    context: CausalContext<S::Actor>,
    live: CausalContext<S::Actor>,
}

impl<S: DotStore> Digest<S> {
    pub(crate) fn from_parts(context: CausalContext<S::Actor>, live: CausalContext<S::Actor>) -> Self {
        Self { context, live }
    }

    /// What was seen, what lives.
    pub(crate) fn parts(&self) -> (&CausalContext<S::Actor>, &CausalContext<S::Actor>) {
        (&self.context, &self.live)
    }
}

impl<S: DotStore> Delta<S> {
    pub(crate) fn new(store: S, context: CausalContext<S::Actor>) -> Self {
        Self { store, context, named: true }
    }

    pub(crate) fn from_parts(store: S, context: CausalContext<S::Actor>, named: bool) -> Self {
        Self { store, context, named }
    }

    /// Do all its dots lie under the entries it names?
    pub(crate) fn is_named(&self) -> bool {
        self.named
    }

    /// Joins another delta to this one: applying the group is applying both.
    ///
    /// # Errors
    /// [`DoubleSpentDot`] if one dot has two payloads; nothing is changed then.
    pub fn group(&mut self, other: &Self) -> Result<(), DoubleSpentDot<S::Actor>> {
        self.store.agrees(&other.store)?;
        self.store.group(&self.context, &other.store, &other.context);
        self.context.union(&other.context);
        self.named &= other.named;
        Ok(())
    }

    /// Does it say nothing?
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.context.is_empty()
    }

    /// The dots it speaks of: added or replaced.
    #[must_use]
    pub fn context(&self) -> &CausalContext<S::Actor> {
        &self.context
    }

    /// The entries it touches, with what lives in them.
    #[must_use]
    pub fn touched(&self) -> &S {
        &self.store
    }

    /// The greatest clock reading in it.
    #[must_use]
    pub fn latest(&self) -> Hlc {
        self.store.latest()
    }
}
