//! Flags: on or off, and who wins when both are said at once.

use causal::{Actor, ActorBytes, DotFun};

use crate::{DotSet, Edit, Error};
use crate::{dot_store, store_bytes};

/// On while any enabling that no visible disabling has seen lives: concurrent, enable wins.
///
/// ```
/// use causal::Minter;
/// use crdt::{EwFlag, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<EwFlag<&str>>::new(Minter::once(name)));
/// b.apply(&a.edit(|flag| flag.enable())?)?;
/// let (on, off) = (a.edit(|flag| flag.enable())?, b.edit(|flag| flag.disable())?);
/// a.apply(&off)?;
/// b.apply(&on)?;
/// assert!(a.is_enabled() && b.is_enabled());
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EwFlag<A> {
    live: DotSet<A>,
}

impl<A> Default for EwFlag<A> {
    fn default() -> Self {
        Self { live: DotSet::default() }
    }
}

dot_store!(EwFlag<A: Actor> by A { live: DotSet<A> });
store_bytes!(EwFlag<A: ActorBytes> by A, "ew-flag" { live: DotSet<A> });

impl<A: Actor> EwFlag<A> {
    /// Is it on?
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.live.is_empty()
    }
}

impl<A: Actor> Edit<'_, EwFlag<A>> {
    /// Turns it on.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn enable(&mut self) -> Result<(), Error<A>> {
        self.field(|flag| &flag.live, |flag| &mut flag.live).replace(()).map(drop)
    }

    /// Turns it off.
    ///
    /// # Errors
    /// None today: it needs no dot.
    pub fn disable(&mut self) -> Result<(), Error<A>> {
        self.clear()
    }
}

/// On if something enabled it and no disabling lives that no visible enabling has seen: concurrent, disable wins.
/// Off at first.
///
/// ```
/// use causal::Minter;
/// use crdt::{DwFlag, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<DwFlag<&str>>::new(Minter::once(name)));
/// let (on, off) = (a.edit(|flag| flag.enable())?, b.edit(|flag| flag.disable())?);
/// a.apply(&off)?;
/// b.apply(&on)?;
/// assert!(!a.is_enabled() && !b.is_enabled());
/// b.apply(&a.edit(|flag| flag.enable())?)?;          // has seen both
/// assert!(a.is_enabled() && b.is_enabled());
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DwFlag<A> {
    live: DotFun<A, bool>,
}

impl<A> Default for DwFlag<A> {
    fn default() -> Self {
        Self { live: DotFun::default() }
    }
}

dot_store!(DwFlag<A: Actor> by A { live: DotFun<A, bool> });
store_bytes!(DwFlag<A: ActorBytes> by A, "dw-flag" { live: DotFun<A, bool> });

impl<A: Actor> DwFlag<A> {
    /// Is it on?
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        !self.live.is_empty() && self.live.iter().all(|(_, enabled)| *enabled)
    }
}

impl<A: Actor> Edit<'_, DwFlag<A>> {
    /// Turns it on.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn enable(&mut self) -> Result<(), Error<A>> {
        self.field(|flag| &flag.live, |flag| &mut flag.live).replace(true).map(drop)
    }

    /// Turns it off.
    ///
    /// # Errors
    /// As [`Self::enable`].
    pub fn disable(&mut self) -> Result<(), Error<A>> {
        self.field(|flag| &flag.live, |flag| &mut flag.live).replace(false).map(drop)
    }
}
