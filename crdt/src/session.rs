//! What all steps of one edit share: the dots they mint, those they replace, and on whose behalf it is.

use std::fmt;

use causal::{Actor, CausalContext, Dot, Hlc, Lease, Minter, Run};

use crate::Error;

/// The way to a minter whatever its lease.
pub(crate) trait Mint<A>: Send {
    fn actor(&self) -> &A;
    fn mint(&mut self) -> Result<Dot<A>, Error<A>>;
    fn witness(&self, seen: &CausalContext<A>) -> Result<(), Error<A>>;
    fn renew(&mut self) -> Result<(), Error<A>>;
}

impl<A: Actor + Send, L: Lease<A, Error: fmt::Display> + Send> Mint<A> for Minter<A, L> {
    fn actor(&self) -> &A {
        Minter::actor(self)
    }

    fn mint(&mut self) -> Result<Dot<A>, Error<A>> {
        Ok(Minter::mint(self)?)
    }

    fn witness(&self, seen: &CausalContext<A>) -> Result<(), Error<A>> {
        Ok(Minter::witness(self, seen)?)
    }

    fn renew(&mut self) -> Result<(), Error<A>> {
        Minter::renew(self).map_err(|why| Error::Lease(why.to_string()))
    }
}

/// What all steps of one edit share.
pub(crate) struct Session<A> {
    pub(crate) minter: Box<dyn Mint<A>>,
    /// The dots added and replaced so far.
    pub(crate) context: CausalContext<A>,
    pub(crate) at: Hlc,
    /// What the one for whom this is done had seen; nothing: what is here.
    pub(crate) seen: Option<CausalContext<A>>,
    /// Is what is here what that one had seen?
    pub(crate) is_unchanged: bool,
    /// The error of a step that may have been half done: the whole edit fails with it.
    pub(crate) half_done: Option<Error<A>>,
    /// Has a step gone deeper than places may be?
    pub(crate) too_deep: bool,
    /// Dots of this edit, in the order they were minted.
    pub(crate) minted: Vec<Dot<A>>,
    /// Dots of edits that failed, to be used first: nobody has ever seen them. The last one is the next.
    pub(crate) unspent: Vec<Dot<A>>,
}

impl<A: Actor> Session<A> {
    pub(crate) fn new(minter: Box<dyn Mint<A>>) -> Self {
        Self {
            minter,
            context: CausalContext::new(),
            at: Hlc(0),
            seen: None,
            is_unchanged: true,
            half_done: None,
            too_deep: false,
            minted: Vec::new(),
            unspent: Vec::new(),
        }
    }

    pub(crate) fn begin(&mut self, at: Hlc) {
        self.context = CausalContext::new();
        (self.seen, self.half_done, self.too_deep) = (None, None, false);
        self.is_unchanged = true;
        self.minted.clear();
        self.at = at;
    }

    pub(crate) fn mint(&mut self) -> Result<Dot<A>, Error<A>> {
        let dot = self.unspent.pop().map_or_else(|| self.minter.mint(), Ok)?;
        self.minted.push(dot.clone());
        self.context.insert(dot.clone());
        Ok(dot)
    }

    /// Has the one for whom this is done seen it?
    pub(crate) fn sees(&self, dot: &Dot<A>) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen.contains(dot))
    }

    /// Do places by index mean what they meant to the one for whom this is done?
    pub(crate) fn check_indexes(&self) -> Result<(), Error<A>> {
        if self.is_unchanged { Ok(()) } else { Err(Error::Stale) }
    }

    /// Has that one seen all of these, or some of them?
    pub(crate) fn sees_run(&self, actor: &A, run: Run) -> (bool, bool) {
        let Some(seen) = &self.seen else { return (true, true) };
        let runs = seen.of(actor).map(causal::IntervalSet::runs).unwrap_or_default();
        let overlap = runs.get(runs.partition_point(|seen| seen.last < run.first));
        let overlap = overlap.filter(|seen| seen.first <= run.last);
        (overlap.is_some_and(|seen| seen.first <= run.first && run.last <= seen.last), overlap.is_some())
    }

    /// Looks at a history that came from elsewhere: it can know of no dot that names nothing yet.
    pub(crate) fn witness(&self, seen: &CausalContext<A>) -> Result<(), Error<A>> {
        self.minter.witness(seen)?;
        let (Some(next), seen) = (self.unspent.last(), seen.max(self.minter.actor())) else { return Ok(()) };
        let minted = next.counter - 1;
        if seen > minted { Err(Error::Amnesia { actor: next.actor.clone(), seen, minted }) } else { Ok(()) }
    }

    /// How many dots this edit has minted.
    pub(crate) fn mark(&self) -> usize {
        self.minted.len()
    }

    /// Takes back the dots minted since: half a step is no step.
    pub(crate) fn rewind(&mut self, mark: usize) {
        let taken_back: Vec<Dot<A>> = self.minted.drain(mark..).rev().collect();
        self.context = self.context.minus(&taken_back.iter().cloned().collect());
        self.unspent.extend(taken_back);
    }

    /// The edit failed: its dots name nothing yet.
    pub(crate) fn fail(&mut self) {
        self.unspent.extend(self.minted.drain(..).rev());
    }
}
