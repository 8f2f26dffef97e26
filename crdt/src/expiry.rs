//! When a value ends.

use causal::DotFun;

use crate::register::Held;
use crate::{DotStore, Edit, Error, StoreBytes};
use crate::{dot_store, store_bytes};

/// Until when a value is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Deadline {
    /// Until this time, in milliseconds since 1970.
    At(u64),
    /// Without end: beats every time.
    Never,
}

/// A value of any type with a deadline. Of concurrent deadlines the longest wins, and none at all beats all; a deadline
/// that has seen another replaces it, also by a shorter one. What has expired is removed as by anybody: by an edit. A value
/// written at the same time as that has not been seen by it, and stays, without a deadline: set one with each value.
///
/// ```
/// use causal::Minter;
/// use crdt::{Deadline, Expiring, MvRegister, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<Expiring<MvRegister<&str, u8>>>::new(Minter::once(name)));
/// b.apply(&a.edit(|it| { it.value().write(7)?; it.expire(Deadline::At(1_000)) })?)?;
/// let (shorter, longer) = (a.edit(|it| it.expire(Deadline::At(500)))?, b.edit(|it| it.expire(Deadline::At(2_000)))?);
/// a.apply(&longer)?;
/// b.apply(&shorter)?;
/// assert_eq!((a.deadline(), b.deadline()), (Deadline::At(2_000), Deadline::At(2_000)));
/// assert!(a.get(1_999).is_some() && a.get(2_000).is_none());
/// b.apply(&a.edit(|it| it.remove_if_expired(2_000))?)?;
/// assert_eq!(b.get(0), None);
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expiring<S: DotStore> {
    value: S,
    deadlines: DotFun<S::Actor, Held<Deadline>>,
}

impl<S: DotStore> Default for Expiring<S> {
    fn default() -> Self {
        Self { value: S::default(), deadlines: DotFun::default() }
    }
}

dot_store!(Expiring<S: DotStore> by S::Actor { value: S, deadlines: DotFun<S::Actor, Held<Deadline>> });
store_bytes!(Expiring<S: StoreBytes> by S::Actor, "expiring" {
    value: S, deadlines: DotFun<S::Actor, Held<Deadline>>
});

fn longest(deadlines: impl Iterator<Item = Deadline>) -> Deadline {
    deadlines.max().unwrap_or(Deadline::Never)
}

impl<S: DotStore> Expiring<S> {
    /// Until when it is there.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        longest(self.deadlines.iter().map(|(_, held)| held.0))
    }

    /// The value, if there is one at the time `now_ms` (milliseconds since 1970).
    #[must_use]
    pub fn get(&self, now_ms: u64) -> Option<&S> {
        Some(&self.value).filter(|value| value.shows() && Deadline::At(now_ms) < self.deadline())
    }
}

impl<S: DotStore> Edit<'_, Expiring<S>> {
    /// The value, to be changed. Its deadline stays as it is.
    pub fn value(&mut self) -> Edit<'_, S> {
        self.field(|it| &it.value, |it| &mut it.value)
    }

    /// Gives it another deadline, shorter or longer.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn expire(&mut self, deadline: Deadline) -> Result<(), Error<S::Actor>> {
        self.field(|it| &it.deadlines, |it| &mut it.deadlines).replace(Held(deadline)).map(drop)
    }

    /// Removes value and deadline if the time has come; what was written concurrently stays.
    ///
    /// # Errors
    /// Those of [`Edit::clear`].
    pub fn remove_if_expired(&mut self, now_ms: u64) -> Result<(), Error<S::Actor>> {
        let deadlines = self.field(|it| &it.deadlines, |it| &mut it.deadlines);
        let deadline = longest(deadlines.live().map(|(_, held)| held.0));
        if deadline <= Deadline::At(now_ms) { self.clear() } else { Ok(()) }
    }
}
