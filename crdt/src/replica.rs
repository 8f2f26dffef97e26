//! A replica of one object: the only place where it is changed.
//!
//! An edit is a closure over the type's own operations. It reads what is there (its own earlier steps included),
//! mints dots, and ends as one delta, or, if any step fails, as if it had not begun. There is no context to carry
//! about and to mistake: what an operation has seen is what this replica has seen.

use std::fmt;
use std::ops::Deref;

use causal::{Hlc, HybridClock, Lease, Minter};

use crate::session::Session;
use crate::{Delta, DotStore, Edit, Error, State};

/// How far a stamp may be ahead of the wall clock: one minute.
const MAX_AHEAD_MS: u64 = 60_000;

/// One replica of an object of type `S`: its state, and the minter of its dots. Not `Clone`: two of them would give
/// one dot twice.
///
/// ```
/// use causal::Minter;
/// use crdt::{AwSet, Replica};
/// let [mut phone, mut laptop] = ["phone", "laptop"].map(|name| Replica::<AwSet<&str, &str>>::new(Minter::once(name)));
/// let delta = phone.edit(|set| set.add("milk"))?;
/// laptop.apply(&delta)?;
/// assert!(laptop.contains("milk"));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
pub struct Replica<S: DotStore> {
    state: State<S>,
    session: Session<S::Actor>,
    clock: HybridClock,
}

impl<S: DotStore<Actor: fmt::Debug> + fmt::Debug> fmt::Debug for Replica<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica").field("actor", self.actor()).field("state", &self.state).finish_non_exhaustive()
    }
}

/// Reads go to the type: `replica.contains(..)`.
impl<S: DotStore> Deref for Replica<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.state
    }
}

impl<S: DotStore<Actor: Send + 'static>> Replica<S> {
    /// An object nobody has written to.
    pub fn new<L: Lease<S::Actor, Error: fmt::Display> + Send + 'static>(minter: Minter<S::Actor, L>) -> Self {
        Self { state: State::new(), session: Session::new(Box::new(minter)), clock: HybridClock::new(MAX_AHEAD_MS) }
    }

    /// Goes on from a state that was stored.
    ///
    /// # Errors
    /// [`Error::Amnesia`] if the state knows of dots of the minter's actor that the minter has not given out: call
    /// [`Minter::renew`] first.
    pub fn recover<L: Lease<S::Actor, Error: fmt::Display> + Send + 'static>(
        state: State<S>,
        minter: Minter<S::Actor, L>,
    ) -> Result<Self, Error<S::Actor>> {
        minter.witness(state.context())?;
        let clock = HybridClock::resume(state.latest(), MAX_AHEAD_MS);
        Ok(Self { state, session: Session::new(Box::new(minter)), clock })
    }
}

/// For those who keep the object elsewhere, and have only parts of it here.
impl<S: DotStore> Replica<S> {
    pub(crate) fn state_mut(&mut self) -> &mut State<S> {
        &mut self.state
    }

    /// Begins a draft, in place of the one before.
    pub(crate) fn begin(&mut self, at: Hlc) {
        self.session.fail();
        self.session.begin(at);
    }

    pub(crate) fn tick(&mut self, wall_ms: u64) -> Hlc {
        self.clock.tick(wall_ms)
    }

    pub(crate) fn last_tick(&self) -> Hlc {
        self.clock.last()
    }

    pub(crate) fn resume_at(&mut self, last: Hlc) {
        self.clock = HybridClock::resume(last, MAX_AHEAD_MS);
    }

    /// The delta that a draft would be.
    pub(crate) fn drafted(&self, touched: S) -> Delta<S> {
        Delta::new(touched, self.session.context.clone())
    }

    /// Gives up the draft.
    pub(crate) fn give_up(&mut self) {
        self.session.fail();
    }
}

impl<S: DotStore> Replica<S> {
    /// Who writes here.
    #[must_use]
    pub fn actor(&self) -> &S::Actor {
        self.session.minter.actor()
    }

    /// The whole state: to store, or to send to somebody who has nothing.
    #[must_use]
    pub fn state(&self) -> &State<S> {
        &self.state
    }

    /// Changes the object. The delta is for all other replicas.
    ///
    /// # Errors
    /// What the operations in it give, [`Error::Lease`] or [`Error::Exhausted`] if there is no dot; nothing is
    /// changed then.
    pub fn edit<R>(
        &mut self,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<R, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        self.edit_at(0, change)
    }

    /// [`Self::edit`] when the wall clock shows `wall_ms` (milliseconds since 1970): for types whose readings are
    /// ordered by time. Without, stamps only count on from the latest one seen.
    ///
    /// # Errors
    /// Those of [`Self::edit`].
    pub fn edit_at<R>(
        &mut self,
        wall_ms: u64,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<R, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        self.session.begin(self.clock.tick(wall_ms));
        self.run(change)
    }

    /// [`Self::edit_at`], for somebody who has seen `seen` and not what else is here.
    #[cfg(feature = "token")]
    pub(crate) fn edit_for<R>(
        &mut self,
        seen: causal::CausalContext<S::Actor>,
        is_unchanged: bool,
        wall_ms: u64,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<R, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        if !self.state.context().covers(&seen) {
            return Err(Error::Behind);
        }
        self.session.begin(self.clock.tick(wall_ms));
        (self.session.seen, self.session.is_unchanged) = (Some(seen), is_unchanged);
        self.run(change)
    }

    fn run<R>(
        &mut self,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<R, Error<S::Actor>>,
    ) -> Result<Delta<S>, Error<S::Actor>> {
        let (touched, done) = self.draft(change);
        done?;
        Ok(self.commit(touched))
    }

    /// Runs a change without doing it; gives what it touched.
    pub(crate) fn draft<R>(
        &mut self,
        change: impl FnOnce(&mut Edit<'_, S>) -> Result<R, Error<S::Actor>>,
    ) -> (S, Result<(), Error<S::Actor>>) {
        let (mut touched, base) = (S::default(), Some(&*self.state));
        let done = change(&mut Edit { base, delta: &mut touched, session: &mut self.session, depth: 0 });
        let half_done = self.session.half_done.take().map_or(Ok(()), Err);
        let done = if self.session.too_deep { Err(Error::TooDeep) } else { half_done.and(done.map(drop)) };
        if done.is_err() {
            self.session.fail();
        }
        (touched, done)
    }

    /// Does what was drafted.
    pub(crate) fn commit(&mut self, touched: S) -> Delta<S> {
        let delta = Delta::new(touched, std::mem::take(&mut self.session.context));
        self.session.minted.clear(); // they name something now
        self.state.take(&delta);
        delta
    }

    /// Merges what an edit elsewhere gave, whatever its stamps say: where types are ordered by time, use
    /// [`Self::apply_at`].
    ///
    /// # Errors
    /// [`Error::DoubleSpent`], or [`Error::Amnesia`] if it knows more of this replica's actor than this replica;
    /// nothing is changed then.
    pub fn apply(&mut self, delta: &Delta<S>) -> Result<(), Error<S::Actor>> {
        self.session.witness(delta.context())?;
        self.state.apply(delta)?;
        self.clock = HybridClock::resume(self.clock.last().max(delta.latest()), MAX_AHEAD_MS);
        Ok(())
    }

    /// [`Self::apply`] when the wall clock shows `wall_ms`: a delta with a stamp more than a minute ahead of it is
    /// refused, so that one wrong clock does not win for a year.
    ///
    /// # Errors
    /// [`Error::FarFuture`], and those of [`Self::apply`].
    pub fn apply_at(&mut self, wall_ms: u64, delta: &Delta<S>) -> Result<(), Error<S::Actor>> {
        self.clock.clone().observe(delta.latest(), wall_ms).map_err(Error::FarFuture)?;
        self.apply(delta)
    }

    /// [`Self::merge`] when the wall clock shows `wall_ms`: refuses stamps as [`Self::apply_at`] does.
    ///
    /// # Errors
    /// [`Error::FarFuture`], and those of [`Self::apply`].
    pub fn merge_at(&mut self, wall_ms: u64, other: &State<S>) -> Result<(), Error<S::Actor>> {
        self.clock.clone().observe(other.latest(), wall_ms).map_err(Error::FarFuture)?;
        self.merge(other)
    }

    /// Merges another replica's whole state.
    ///
    /// # Errors
    /// Those of [`Self::apply`].
    pub fn merge(&mut self, other: &State<S>) -> Result<(), Error<S::Actor>> {
        self.session.witness(other.context())?;
        self.state.merge(other)?;
        self.clock = HybridClock::resume(self.clock.last().max(other.latest()), MAX_AHEAD_MS);
        Ok(())
    }

    /// Goes on under an actor nobody has ever been: the answer to [`Error::Amnesia`].
    ///
    /// # Errors
    /// [`Error::Lease`].
    pub fn renew(&mut self) -> Result<(), Error<S::Actor>> {
        self.session.minter.renew()?;
        self.session.minted.clear();
        self.session.unspent.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Replica;
    use crate::{AwMap, Counter, Error, MaxRegister, MvRegister, Seq};
    use causal::{Lease, Leased, Minter};

    /// Grants one dot and then no more.
    struct Full(bool);

    impl Lease<u8> for Full {
        type Error = &'static str;
        fn load(&mut self) -> Result<Leased<u8>, &'static str> {
            Ok(Leased { actor: 1, through: 0 })
        }
        fn extend(&mut self, _: u64) -> Result<(), &'static str> {
            if std::mem::replace(&mut self.0, true) { Err("the disk is full") } else { Ok(()) }
        }
        fn renew(&mut self) -> Result<u8, &'static str> {
            Err("the disk is full")
        }
    }

    /// An actor with a second life.
    struct Lives(&'static str);

    impl Lease<&'static str> for Lives {
        type Error = &'static str;
        fn load(&mut self) -> Result<Leased<&'static str>, &'static str> {
            Ok(Leased { actor: self.0, through: 0 })
        }
        fn extend(&mut self, _: u64) -> Result<(), &'static str> {
            Ok(())
        }
        fn renew(&mut self) -> Result<&'static str, &'static str> {
            self.0 = "a, again";
            Ok(self.0)
        }
    }

    #[test]
    fn a_replica_restored_from_a_copy_is_told_so_and_goes_on_under_another_name() {
        let open = || Minter::open(Lives("a")).unwrap();
        let mut before = Replica::<MvRegister<&str, u8>>::new(open());
        let delta = before.edit(|register| register.write(1)).unwrap();
        let amnesia = Error::Amnesia { actor: "a", seen: 1, minted: 0 };
        let mut restored = Replica::<MvRegister<&str, u8>>::new(open());
        assert_eq!(restored.apply(&delta), Err(amnesia.clone()));
        assert_eq!(restored.merge(before.state()), Err(amnesia.clone()));
        assert!(restored.state().context().is_empty());
        assert_eq!(Replica::recover(before.state().clone(), open()).err(), Some(amnesia));
        restored.renew().unwrap();
        restored.apply(&delta).unwrap();
        let _ = restored.edit(|register| register.write(2)).unwrap();
        assert_eq!((restored.actor(), restored.values().collect::<Vec<_>>()), (&"a, again", vec![&2]));
    }

    #[test]
    fn two_payloads_of_one_dot_are_an_error_and_nothing_is_changed() {
        let write = |value| {
            let mut register = Replica::<MvRegister<&str, u8>>::new(Minter::once("a"));
            let delta = register.edit(|register| register.write(value)).unwrap();
            (register.state().clone(), delta)
        };
        let ((mut state, mut delta), (other, other_delta)) = (write(1), write(2));
        let before = (state.clone(), delta.clone());
        assert!(
            state.apply(&other_delta).is_err() && state.merge(&other).is_err() && delta.group(&other_delta).is_err()
        );
        assert_eq!((state, delta), before);
    }

    #[test]
    fn half_a_step_is_no_step_even_if_its_error_is_swallowed() {
        let minter = Minter::open(Full(false)).unwrap().with_block(1);
        let mut register = Replica::<MvRegister<u8, u8>>::new(minter);
        let _ = register.edit(|register| register.write(7)).unwrap();
        let swallowed = register.edit(|register| {
            assert_eq!(register.write(8), Err(Error::Lease("the disk is full".to_owned())));
            Ok(())
        });
        assert!(swallowed.unwrap().is_empty());
        assert_eq!(register.values().collect::<Vec<_>>(), [&7]);
    }

    #[test]
    fn an_edit_that_fails_changes_nothing_and_leaves_no_hole() {
        let mut register = Replica::<MvRegister<&str, u8>>::new(Minter::once("a"));
        for n in 0..10 {
            let _ = register.edit(|register| register.write(n)).unwrap();
            let before = register.state().clone();
            let failed = register.edit(|register| {
                register.write(77)?;
                register.write(78)?;
                Err::<(), _>(Error::Overflow)
            });
            assert_eq!((failed, register.state()), (Err(Error::Overflow), &before));
        }
        assert_eq!(register.state().context().runs().count(), 1);
    }

    /// Its dots are minted, and yet nobody can have seen them: once that hid a second replica of the same name.
    #[test]
    fn a_twin_is_found_out_also_after_an_edit_that_failed() {
        let [mut a, mut twin] = ["a", "a"].map(|name| Replica::<MvRegister<&str, u8>>::new(Minter::once(name)));
        let failed = a.edit(|register| register.write(9).and(Err::<(), _>(Error::Overflow)));
        assert_eq!(failed.err(), Some(Error::Overflow));
        let delta = twin.edit(|register| register.write(1)).unwrap();
        assert_eq!(a.apply(&delta), Err(Error::Amnesia { actor: "a", seen: 1, minted: 0 }));
    }

    /// Grants a block of dots and then no more.
    fn with_dots(dots: u64) -> Minter<u8, Full> {
        Minter::open(Full(false)).unwrap().with_block(dots)
    }

    /// What was there was once discarded before the dot for what replaces it was asked for.
    #[test]
    fn without_a_dot_nothing_is_replaced_even_if_the_error_is_swallowed() {
        let mut counter = Replica::<Counter<u8>>::new(with_dots(3));
        let mut best = Replica::<MaxRegister<u8, u8>>::new(with_dots(1));
        for _ in 0..5 {
            let _ = counter
                .edit(|n| {
                    n.add(1).ok();
                    Ok(())
                })
                .unwrap();
            let _ = best
                .edit(|n| {
                    n.write(7).ok();
                    Ok(())
                })
                .unwrap();
        }
        assert_eq!((counter.value(), best.value()), (3, Some(&7)));
        let mut list = Replica::<Seq<u8, u8>>::new(with_dots(3));
        let delta = list
            .edit(|list| {
                list.insert(0, [1, 2, 3, 4]).ok();
                Ok(())
            })
            .unwrap();
        assert!(delta.is_empty() && list.is_empty());
    }

    /// Half of it may be gone.
    #[test]
    fn a_removal_that_fails_fails_the_whole_edit() {
        let mut map = Replica::<AwMap<u8, Counter<u8>>>::new(with_dots(3));
        let _ = map.edit(|map| map.at(1).add(1).and(map.at(2).add(2))).unwrap();
        let failed = map.edit(|map| {
            map.clear().ok();
            Ok(())
        });
        assert!(matches!(failed, Err(Error::Lease(_))));
        assert_eq!(map.iter().map(|(_, n)| n.value()).sum::<i64>(), 3);
    }
}
