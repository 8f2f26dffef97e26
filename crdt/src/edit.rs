//! A place in an object that is being edited. The types' operations are methods of this.

use std::collections::BTreeSet;

use causal::{Actor, Dot, Hlc, Run};

use crate::session::Session;
use crate::{DotStore, Error};

/// A place in an object that is being edited: what was there, and what this edit has done so far.
///
/// The types' operations are methods of this: `Edit<'_, AwSet<..>>` has `add` and `remove`.
pub struct Edit<'e, S: DotStore> {
    pub(crate) base: Option<&'e S>,
    pub(crate) delta: &'e mut S,
    pub(crate) session: &'e mut Session<S::Actor>,
    /// How many boxes it is in.
    pub(crate) depth: u16,
}

impl<'e, S: DotStore> Edit<'e, S> {
    /// Who writes.
    #[must_use]
    pub fn actor(&self) -> &S::Actor {
        self.session.minter.actor()
    }

    /// The stamp of this edit.
    #[must_use]
    pub fn now(&self) -> Hlc {
        self.session.at
    }

    /// What was here, what this edit has done here so far, and what all its places share: for types whose steps are
    /// more than dots and payloads.
    pub(crate) fn open(&mut self) -> (Option<&S>, &mut S, &mut Session<S::Actor>) {
        (self.base, self.delta, self.session)
    }

    /// What is in the box that is here.
    pub(crate) fn into_box<T: DotStore<Actor = S::Actor>>(
        self,
        of: impl FnOnce(&'e S) -> Option<&'e T>,
        of_mut: impl FnOnce(&'e mut S) -> &'e mut T,
    ) -> Edit<'e, T> {
        let depth = self.depth + 1;
        self.session.too_deep |= depth > crate::MAX_DEPTH;
        Edit { base: self.base.and_then(of), delta: of_mut(self.delta), session: self.session, depth }
    }

    /// The same place, for less long.
    pub(crate) fn reborrow(&mut self) -> Edit<'_, S> {
        Edit { base: self.base, delta: self.delta, session: self.session, depth: self.depth }
    }

    /// What is here now, this edit's steps included. Copies this place.
    #[must_use]
    pub fn current(&mut self) -> S {
        self.delta.list();
        let mut now = self.base.cloned().unwrap_or_default();
        let mut base_dots = self.session.context.clone();
        base_dots.union(&now.dots());
        now.join_delta(&base_dots.minus(&self.session.context), self.delta, &self.session.context);
        now
    }

    /// Removes everything that is here; what is written concurrently stays.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if a dot is needed to remember what was removed, and there is none. The whole
    /// edit fails then, for part of it may have been removed.
    pub fn clear(&mut self) -> Result<(), Error<S::Actor>> {
        let cleared = S::clear(self);
        if let Err(why) = &cleared {
            self.session.half_done = Some(why.clone());
        }
        cleared
    }

    /// One field of what is here: for types that are structs of others ([`dot_store!`](crate::dot_store)).
    pub fn field<T: DotStore<Actor = S::Actor>>(
        &mut self,
        of: impl for<'a> Fn(&'a S) -> &'a T,
        of_mut: impl for<'a> FnOnce(&'a mut S) -> &'a mut T,
    ) -> Edit<'_, T> {
        Edit { base: self.base.map(of), delta: of_mut(self.delta), session: self.session, depth: self.depth }
    }
}

impl<'e, K: Ord + Clone, S: DotStore> Edit<'e, crate::DotMap<K, S>> {
    /// The place under a key, whether there is something or not.
    pub fn at(&mut self, key: K) -> Edit<'_, S> {
        self.reborrow().into_at(key)
    }

    /// The keys of what is here and of what this edit has touched, ascending.
    pub(crate) fn keys(&mut self) -> BTreeSet<K> {
        self.delta.list();
        let before = self.base.into_iter().flat_map(crate::DotMap::keys);
        before.chain(self.delta.keys()).cloned().collect()
    }

    /// [`Self::at`], for as long as this lasts.
    pub(crate) fn into_at(self, key: K) -> Edit<'e, S> {
        let base = self.base.and_then(|base| base.get(&key));
        Edit { base, delta: self.delta.touch(key), session: self.session, depth: self.depth }
    }
}

impl<A: Actor, V: crate::Payload<A>> Edit<'_, causal::DotFun<A, V>> {
    /// What lives here now, this edit's steps included, as far as the one for whom it is made has seen it.
    pub fn live(&self) -> impl Iterator<Item = (&Dot<A>, &V)> + Clone + '_ {
        self.everything().filter(|(dot, _)| self.session.sees(dot) || self.session.context.contains(dot))
    }

    /// What lives here now, this edit's steps included, whoever has seen it.
    pub(crate) fn everything(&self) -> impl Iterator<Item = (&Dot<A>, &V)> + Clone + '_ {
        let replaced = &self.session.context;
        let before = self.base.into_iter().flat_map(causal::DotFun::iter).filter(|(dot, _)| !replaced.contains(dot));
        before.chain(self.delta.iter())
    }

    /// Has the one for whom this is done seen all of a run of dots, or some of them?
    pub(crate) fn sees_run(&self, actor: &A, run: Run) -> (bool, bool) {
        self.session.sees_run(actor, run)
    }

    /// Replaces the live dots that `replaces` wants, and that were seen, by nothing.
    pub fn discard(&mut self, mut replaces: impl FnMut(&Dot<A>, &V) -> bool) {
        for (dot, value) in self.base.into_iter().flat_map(causal::DotFun::iter) {
            if self.session.sees(dot) && replaces(dot, value) {
                self.session.context.insert(dot.clone());
            }
        }
        self.delta.retain(|dot, value| !replaces(dot, value));
    }

    /// Replaces a live dot by nothing, whoever has seen it.
    pub(crate) fn supersede(&mut self, dot: Dot<A>) {
        self.delta.retain(|other, _| *other != dot);
        self.session.context.insert(dot);
    }

    /// A fresh dot with a payload, in place of nothing.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn mint(&mut self, payload: impl FnOnce(&Dot<A>) -> V) -> Result<Dot<A>, Error<A>> {
        let dot = self.session.mint()?;
        self.delta.insert(dot.clone(), payload(&dot));
        Ok(dot)
    }

    /// A fresh dot with a payload, in place of everything here.
    ///
    /// # Errors
    /// Those of [`Self::mint`].
    pub fn replace(&mut self, payload: V) -> Result<Dot<A>, Error<A>> {
        let dot = self.session.mint()?; // before anything is discarded: half a step is no step
        self.discard(|_, _| true);
        self.delta.insert(dot.clone(), payload);
        Ok(dot)
    }
}
