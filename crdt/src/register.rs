//! Registers: what a place says when several have written there.

use causal::{Actor, ActorBytes, Dot, DotFun, Hlc};

use crate::{Edit, Error, ItemBytes, Payload};
use crate::{dot_store, store_bytes};

/// A value as a payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held<V>(pub(crate) V);

impl<A, V: Clone + PartialEq> Payload<A> for Held<V> {}

/// Keeps every write that no other write has seen: the siblings.
///
/// ```
/// use causal::Minter;
/// use crdt::{MvRegister, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<MvRegister<&str, u8>>::new(Minter::once(name)));
/// let (one, two) = (a.edit(|r| r.write(1))?, b.edit(|r| r.write(2))?);
/// a.apply(&two)?;
/// b.apply(&one)?;
/// assert_eq!(a.values().collect::<Vec<_>>(), [&1, &2]);
/// b.apply(&a.edit(|r| r.write(3))?)?;
/// assert_eq!(b.values().collect::<Vec<_>>(), [&3]);
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MvRegister<A, V> {
    live: DotFun<A, Held<V>>,
}

impl<A, V> Default for MvRegister<A, V> {
    fn default() -> Self {
        Self { live: DotFun::default() }
    }
}

dot_store!(MvRegister<A: Actor, V> by A, where [V: Clone + PartialEq] { live: DotFun<A, Held<V>> });
store_bytes!(MvRegister<A: ActorBytes, V> by A, "mv-register", where [V: ItemBytes + Clone + PartialEq] {
    live: DotFun<A, Held<V>>
});

impl<A: Actor, V> MvRegister<A, V> {
    /// The siblings, by ascending dot.
    pub fn values(&self) -> impl ExactSizeIterator<Item = &V> + '_ {
        self.live.iter().map(|(_, held)| &held.0)
    }

    /// The siblings with the dots of their writes, ascending.
    pub fn siblings(&self) -> impl ExactSizeIterator<Item = (&Dot<A>, &V)> + '_ {
        self.live.iter().map(|(dot, held)| (dot, &held.0))
    }
}

impl<A: Actor, V: Clone + PartialEq> Edit<'_, MvRegister<A, V>> {
    /// Replaces every value that is here.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn write(&mut self, value: V) -> Result<(), Error<A>> {
        let mut live = self.field(|register| &register.live, |register| &mut register.live);
        live.replace(Held(value)).map(drop)
    }
}

/// A value and when it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamped<V> {
    pub(crate) at: Hlc,
    pub(crate) value: V,
}

impl<A, V: Clone + PartialEq> Payload<A> for Stamped<V> {
    fn stamp(&self) -> Hlc {
        self.at
    }
}

/// The live payload written last: greatest stamp, then greatest dot.
pub(crate) fn last<A: Actor, V>(live: &DotFun<A, Stamped<V>>) -> Option<&Stamped<V>> {
    live.iter().max_by_key(|(dot, stamped)| (stamped.at, *dot)).map(|(_, stamped)| stamped)
}

/// Shows the write with the greatest hybrid clock reading, then the greatest actor. A write that has seen another
/// replaces it, whatever their clocks say; clocks decide between concurrent ones only.
///
/// ```
/// use causal::Minter;
/// use crdt::{LwwRegister, Replica};
/// let [mut a, mut b] = ["a", "b"].map(|name| Replica::<LwwRegister<&str, &str>>::new(Minter::once(name)));
/// let later = a.edit_at(2_000, |r| r.write("later"))?;
/// let earlier = b.edit_at(1_000, |r| r.write("earlier"))?;
/// a.apply(&earlier)?;
/// b.apply(&later)?;
/// assert_eq!((a.value(), b.value()), (Some(&"later"), Some(&"later")));
/// # Ok::<(), crdt::Error<&str>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LwwRegister<A, V> {
    live: DotFun<A, Stamped<V>>,
}

impl<A, V> Default for LwwRegister<A, V> {
    fn default() -> Self {
        Self { live: DotFun::default() }
    }
}

dot_store!(LwwRegister<A: Actor, V> by A, where [V: Clone + PartialEq] { live: DotFun<A, Stamped<V>> });
store_bytes!(LwwRegister<A: ActorBytes, V> by A, "lww-register", where [V: ItemBytes + Clone + PartialEq] {
    live: DotFun<A, Stamped<V>>
});

impl<A: Actor, V> LwwRegister<A, V> {
    /// The value written last, if any was.
    #[must_use]
    pub fn value(&self) -> Option<&V> {
        last(&self.live).map(|stamped| &stamped.value)
    }

    /// When it was written.
    #[must_use]
    pub fn at(&self) -> Option<Hlc> {
        last(&self.live).map(|stamped| stamped.at)
    }
}

impl<A: Actor, V: Clone + PartialEq> Edit<'_, LwwRegister<A, V>> {
    /// Replaces what is here.
    ///
    /// # Errors
    /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
    pub fn write(&mut self, value: V) -> Result<(), Error<A>> {
        let stamped = Stamped { at: self.now(), value };
        let mut live = self.field(|register| &register.live, |register| &mut register.live);
        live.replace(stamped).map(drop)
    }
}

macro_rules! extreme_register {
    ($(#[$doc:meta])* $name:ident, $title:literal, $best:ident, $not_better:tt) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name<A, V> {
            live: DotFun<A, Held<V>>,
        }

        impl<A, V> Default for $name<A, V> {
            fn default() -> Self {
                Self { live: DotFun::default() }
            }
        }

        dot_store!($name<A: Actor, V> by A, where [V: Clone + Ord] { live: DotFun<A, Held<V>> });

        store_bytes!($name<A: ActorBytes, V> by A, $title, where [V: ItemBytes + Clone + Ord] { live: DotFun<A, Held<V>> });

        impl<A: Actor, V: Ord> $name<A, V> {
            /// The value, if any was written.
            #[must_use]
            pub fn value(&self) -> Option<&V> {
                self.live.iter().map(|(_, held)| &held.0).$best()
            }
        }

        impl<A: Actor, V: Clone + Ord> Edit<'_, $name<A, V>> {
            /// Writes a value. It replaces those that it outdoes; one that does not change what is shown is kept behind
            /// it, for a removal may come that has seen the one shown and not this one. So values that come ever worse are
            /// all kept, and each write costs as many; whoever wants a bound writes only what is better.
            ///
            /// # Errors
            /// [`Error::Lease`] or [`Error::Exhausted`] if there is no dot.
            pub fn write(&mut self, value: V) -> Result<(), Error<A>> {
                let mut live = self.field(|register| &register.live, |register| &mut register.live);
                let new = live.mint(|_| Held(value.clone()))?; // before anything is discarded: half a step is no step
                live.discard(|dot, held| *dot != new && held.0 $not_better value);
                Ok(())
            }
        }
    };
}

extreme_register!(
    /// Shows the greatest value written and not removed.
    ///
    /// ```
    /// use causal::Minter;
    /// use crdt::{MaxRegister, Replica};
    /// let mut best: Replica<MaxRegister<&str, u32>> = Replica::new(Minter::once("a"));
    /// let _ = best.edit(|r| r.write(7))?;
    /// let _ = best.edit(|r| r.write(5))?;
    /// assert_eq!(best.value(), Some(&7));
    /// # Ok::<(), crdt::Error<&str>>(())
    /// ```
    MaxRegister, "max-register", max, <=
);

extreme_register!(
    /// Shows the smallest value written and not removed. See [`MaxRegister`].
    ///
    /// ```
    /// use causal::Minter;
    /// use crdt::{MinRegister, Replica};
    /// let mut price: Replica<MinRegister<&str, u32>> = Replica::new(Minter::once("a"));
    /// let _ = price.edit(|r| { r.write(7)?; r.write(5) })?;
    /// assert_eq!(price.value(), Some(&5));
    /// # Ok::<(), crdt::Error<&str>>(())
    /// ```
    MinRegister, "min-register", min, >=
);
