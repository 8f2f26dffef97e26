//! Minting: where new dots come from, and what keeps one dot from naming two writes.
//!
//! A dot may be used twice if its actor forgets that it used it. Three guards, each against what the one before
//! cannot see:
//!
//! - *A crash that loses the tail of a file*: counters are used only within a lease that the host has made durable.
//! - *A backup put back, a directory copied*: the lease goes back as well. A host that cannot rule this out begins anew
//!   at every start, under a name that was never stored: [`Minter::open_anew`], or [`Minter::once`] with a fresh UUID.
//! - *What is noticed only later*: a history that knows more of an actor than the actor itself is
//!   [`MintError::Amnesia`], and the actor begins anew ([`Minter::renew`]). This comes too late for what was written
//!   before the news; such a dot is reported as a [`DoubleSpentDot`](crate::DoubleSpentDot) where both values meet.
//!
//! (Riak's per-key actor epochs keep the same promise; lease and block are theirs.) The dense forms
//! ([`DvvSet`](crate::DvvSet), [`dvv`](crate::dvv)) count for themselves, as in the papers: there the set itself must
//! be as durable as a lease, and only the last guard holds.

use core::convert::Infallible;
use core::fmt;

use crate::{Actor, Dot, EventSet, MAX_COUNTER};

/// What the host keeps for a [`Minter`], durably. One process at a time: two on one lease would give one dot twice.
///
/// ```
/// use causal::{Incarnation, Lease, Leased, Minter};
///
/// /// One line in a file: node, incarnation, counter.
/// struct File(std::path::PathBuf);
///
/// impl File {
///     fn read(&self) -> std::io::Result<Leased<Incarnation<String>>> {
///         let text = std::fs::read_to_string(&self.0)?;
///         let mut words = text.split_whitespace();
///         let mut word = || words.next().ok_or(std::io::ErrorKind::InvalidData);
///         let node = word()?.to_owned();
///         let number = word()?.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
///         let through = word()?.parse().map_err(|_| std::io::ErrorKind::InvalidData)?;
///         Ok(Leased { actor: Incarnation { node, number }, through })
///     }
///     fn write(&self, leased: &Leased<Incarnation<String>>) -> std::io::Result<()> {
///         let Incarnation { node, number } = &leased.actor;
///         let new = self.0.with_extension("new");
///         std::fs::write(&new, format!("{node} {number} {}", leased.through))?;
///         std::fs::File::open(&new)?.sync_all()?;
///         std::fs::rename(&new, &self.0)?;
///         let folder = self.0.parent().ok_or(std::io::ErrorKind::NotFound)?;
///         std::fs::File::open(folder)?.sync_all()
///     }
/// }
///
/// impl Lease<Incarnation<String>> for File {
///     type Error = std::io::Error;
///     fn load(&mut self) -> std::io::Result<Leased<Incarnation<String>>> {
///         match self.read() {
///             Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
///                 let node = "phone".to_owned();         // made up once, never twice: better a random UUID
///                 let leased = Leased { actor: Incarnation { node, number: 1 }, through: 0 };
///                 self.write(&leased).map(|()| leased)
///             }
///             read => read,
///         }
///     }
///     fn extend(&mut self, through: u64) -> std::io::Result<()> {
///         let actor = self.read()?.actor;
///         self.write(&Leased { actor, through })
///     }
///     fn renew(&mut self) -> std::io::Result<Incarnation<String>> {
///         let actor = self.read()?.actor.next().ok_or(std::io::ErrorKind::StorageFull)?;
///         self.write(&Leased { actor: actor.clone(), through: 0 }).map(|()| actor)
///     }
/// }
///
/// # let path = std::env::temp_dir().join(format!("causal-lease-{}", std::process::id()));
/// let mut minter = Minter::open(File(path.clone()))?;
/// assert_eq!(minter.mint()?.counter, 1);
/// drop(minter);                                          // a crash: what was leased is never used again
/// let mut minter = Minter::open(File(path.clone()))?;
/// assert_eq!(minter.mint()?.counter, Minter::<Incarnation<String>, File>::DEFAULT_BLOCK + 1);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Lease<A> {
    /// What can go wrong with the host's storage.
    type Error;

    /// Who mints, and through which counter its dots may be in use already. A host that has nothing stored makes
    /// up an actor nobody has ever been, and stores it, `through` 0, before it returns.
    ///
    /// # Errors
    /// The host's: nothing is minted then.
    fn load(&mut self) -> Result<Leased<A>, Self::Error>;

    /// The actor is about to use dots through this counter: durable before it returns.
    ///
    /// # Errors
    /// The host's: no dot of the new block is used then.
    fn extend(&mut self, through: u64) -> Result<(), Self::Error>;

    /// An actor nobody has ever been, in place of the present one, with nothing used: durable before it returns.
    ///
    /// # Errors
    /// The host's: the minter keeps the actor it had.
    fn renew(&mut self) -> Result<A, Self::Error>;
}

/// What a [`Lease`] stores.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased<A> {
    /// Who mints.
    pub actor: A,
    /// Counters up to this one may be in use.
    pub through: u64,
}

/// The lease of an actor that lives no longer than the process: see [`Minter::once`].
#[derive(Clone, Copy, Debug)]
pub struct Once<A>(A);

impl<A: Actor> Lease<A> for Once<A> {
    type Error = NoSuccessor;

    fn load(&mut self) -> Result<Leased<A>, NoSuccessor> {
        Ok(Leased { actor: self.0.clone(), through: 0 })
    }

    fn extend(&mut self, _through: u64) -> Result<(), NoSuccessor> {
        Ok(())
    }

    fn renew(&mut self) -> Result<A, NoSuccessor> {
        Err(NoSuccessor)
    }
}

/// An actor that lives no longer than the process cannot begin anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuccessor;

impl fmt::Display for NoSuccessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an actor of one process has no next incarnation: make a minter for another actor")
    }
}

impl core::error::Error for NoSuccessor {}

/// The next dots of one actor, each given out once. Not `Clone`: two of one actor would give the same dot twice.
#[derive(Debug)]
pub struct Minter<A, L> {
    actor: A,
    minted: u64,
    through: u64,
    block: u64,
    lease: L,
}

impl<A: Actor> Minter<A, Once<A>> {
    /// For an actor that nobody has ever been and nobody will ever be again: a fresh UUID per run of a program, or
    /// a name in a test. It counts from 1.
    #[must_use]
    pub fn once(actor: A) -> Self {
        Self { actor: actor.clone(), minted: 0, through: MAX_COUNTER, block: 1, lease: Once(actor) }
    }
}

impl<A: Actor, L: Lease<A>> Minter<A, L> {
    /// How many dots are leased at once unless [`Self::with_block`] says otherwise. A crash leaves at most so many
    /// unused, as one gap of a few bytes.
    pub const DEFAULT_BLOCK: u64 = 1_000;

    /// Goes on after everything that may be in use.
    ///
    /// # Errors
    /// The lease's.
    pub fn open(mut lease: L) -> Result<Self, L::Error> {
        let Leased { actor, through } = lease.load()?;
        Ok(Self { actor, minted: through, through, block: Self::DEFAULT_BLOCK, lease })
    }

    /// As [`Self::open`], and begins anew before the first dot: for hosts whose storage may be restored from a copy or
    /// copied. Safe if [`Lease::renew`] never gives an actor that any copy may have given: a fresh UUID, not a number
    /// counted on from the storage.
    ///
    /// # Errors
    /// The lease's.
    pub fn open_anew(lease: L) -> Result<Self, L::Error> {
        let mut minter = Self::open(lease)?;
        minter.renew()?;
        Ok(minter)
    }

    /// Leases `dots` at once, at least one: more mean fewer calls of [`Lease::extend`].
    #[must_use]
    pub fn with_block(mut self, dots: u64) -> Self {
        self.block = dots.max(1);
        self
    }

    /// Who mints.
    #[must_use]
    pub fn actor(&self) -> &A {
        &self.actor
    }

    /// The counter of the last dot given out, or that may have been before this minter was opened.
    #[must_use]
    pub fn minted(&self) -> u64 {
        self.minted
    }

    /// Looks at a history that came from elsewhere. To be called with whatever is merged; [`Siblings::update`]
    /// does it by itself.
    ///
    /// [`Siblings::update`]: crate::Siblings::update
    ///
    /// # Errors
    /// [`MintError::Amnesia`] if it knows of dots of this actor that this minter never gave out: call
    /// [`Self::renew`] before anything is written.
    pub fn witness(&self, seen: &(impl EventSet<A> + ?Sized)) -> Result<(), MintError<A, L::Error>> {
        match seen.max(&self.actor) {
            seen if seen > self.minted => {
                Err(MintError::Amnesia { actor: self.actor.clone(), seen, minted: self.minted })
            }
            _ => Ok(()),
        }
    }

    /// A dot nobody has ever had.
    ///
    /// # Errors
    /// The lease's, if a new block is due; [`MintError::Exhausted`] at [`MAX_COUNTER`].
    pub fn mint(&mut self) -> Result<Dot<A>, MintError<A, L::Error>> {
        if self.minted >= MAX_COUNTER {
            return Err(MintError::Exhausted { actor: self.actor.clone() });
        }
        if self.minted >= self.through {
            let through = self.minted.saturating_add(self.block).min(MAX_COUNTER);
            self.lease.extend(through).map_err(MintError::Lease)?;
            self.through = through;
        }
        self.minted += 1;
        Ok(Dot { actor: self.actor.clone(), counter: self.minted })
    }

    /// Begins anew under an actor nobody has ever been.
    ///
    /// # Errors
    /// The lease's.
    pub fn renew(&mut self) -> Result<(), L::Error> {
        self.actor = self.lease.renew()?;
        (self.minted, self.through) = (0, 0);
        Ok(())
    }
}

/// Why no dot was given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MintError<A, E = Infallible> {
    /// Somebody has seen dots of this actor that it does not know it gave out: it was restored from a copy, lost
    /// its tail, or exists twice. It must begin anew under another name ([`Minter::renew`]).
    Amnesia {
        /// Who has forgotten.
        actor: A,
        /// The greatest counter somebody has seen.
        seen: u64,
        /// The greatest counter the actor knows of.
        minted: u64,
    },
    /// The actor has used every counter up to [`MAX_COUNTER`].
    Exhausted {
        /// Whose counters are used up.
        actor: A,
    },
    /// The host could not make the lease durable.
    Lease(E),
}

impl<A: fmt::Debug, E: fmt::Display> fmt::Display for MintError<A, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MintError::Amnesia { actor, seen, minted } => write!(
                f,
                "{actor:?} knows of its dots up to {minted}, but somebody has seen {seen}: it was restored from a copy, lost its tail or exists twice; give it a new incarnation"
            ),
            MintError::Exhausted { actor } => {
                write!(f, "{actor:?} has used all counters up to 2^62 - 1; give it a new incarnation")
            }
            MintError::Lease(why) => write!(f, "no dot could be leased: {why}"),
        }
    }
}

impl<A: fmt::Debug, E: core::error::Error + 'static> core::error::Error for MintError<A, E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            MintError::Lease(why) => Some(why),
            MintError::Amnesia { .. } | MintError::Exhausted { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lease, Leased, MintError, Minter};
    use crate::{CausalContext, Dot, Incarnation, MAX_COUNTER};
    use alloc::rc::Rc;
    use core::cell::RefCell;

    type Node = Incarnation<&'static str>;

    #[derive(Clone)]
    struct Disk(Rc<RefCell<Leased<Node>>>);

    impl Disk {
        fn new(through: u64) -> Self {
            Self(Rc::new(RefCell::new(Leased { actor: Incarnation { node: "n", number: 1 }, through })))
        }
        fn copy(&self) -> Self {
            Self(Rc::new(RefCell::new(self.0.borrow().clone())))
        }
    }

    impl Lease<Node> for Disk {
        type Error = &'static str;
        fn load(&mut self) -> Result<Leased<Node>, &'static str> {
            Ok(self.0.borrow().clone())
        }
        fn extend(&mut self, through: u64) -> Result<(), &'static str> {
            self.0.borrow_mut().through = through;
            Ok(())
        }
        fn renew(&mut self) -> Result<Node, &'static str> {
            let actor = self.0.borrow().actor.next().ok_or("no more lives")?;
            *self.0.borrow_mut() = Leased { actor, through: 0 };
            Ok(actor)
        }
    }

    #[test]
    fn a_crash_skips_what_was_leased_and_repeats_nothing() {
        let disk = Disk::new(0);
        let mut minter = Minter::open(disk.clone()).unwrap().with_block(10);
        let before: CausalContext<Node> = (0..13).map(|_| minter.mint().unwrap()).collect();
        drop(minter);
        let mut minter = Minter::open(disk).unwrap();
        let dot = minter.mint().unwrap();
        assert_eq!(dot.counter, 21);
        assert!(!before.contains(&dot));
    }

    #[test]
    fn a_backup_put_back_is_amnesia_and_leads_to_a_new_incarnation() {
        let disk = Disk::new(0);
        let backup = disk.copy();
        let mut minter = Minter::open(disk).unwrap();
        let seen: CausalContext<Node> = (0..3).map(|_| minter.mint().unwrap()).collect();
        let mut restored = Minter::open(backup).unwrap();
        let actor = *restored.actor();
        assert_eq!(restored.witness(&seen), Err(MintError::Amnesia { actor, seen: 3, minted: 0 }));
        restored.renew().unwrap();
        restored.witness(&seen).unwrap();
        assert_eq!(restored.mint().unwrap(), Dot::new(Incarnation { node: "n", number: 2 }, 1));
    }

    #[test]
    fn a_host_that_begins_anew_at_every_start_needs_no_news_of_what_it_forgot() {
        let disk = Disk::new(0);
        let mut minter = Minter::open_anew(disk).unwrap();
        assert_eq!(minter.mint().unwrap(), Dot::new(Incarnation { node: "n", number: 2 }, 1));
    }

    #[test]
    fn counters_end_with_an_error_and_do_not_wrap() {
        let mut minter = Minter::open(Disk::new(MAX_COUNTER - 1)).unwrap();
        assert_eq!(minter.mint().unwrap().counter, MAX_COUNTER);
        assert!(matches!(minter.mint(), Err(MintError::Exhausted { .. })));
        let mut beyond = Minter::open(Disk::new(u64::MAX)).unwrap();
        assert!(matches!(beyond.mint(), Err(MintError::Exhausted { .. })));
    }

    #[test]
    fn without_a_durable_lease_no_dot_is_given_out() {
        struct Full;
        impl Lease<u8> for Full {
            type Error = &'static str;
            fn load(&mut self) -> Result<Leased<u8>, &'static str> {
                Ok(Leased { actor: 1, through: 0 })
            }
            fn extend(&mut self, _: u64) -> Result<(), &'static str> {
                Err("the disk is full")
            }
            fn renew(&mut self) -> Result<u8, &'static str> {
                Err("the disk is full")
            }
        }
        let mut minter = Minter::open(Full).unwrap();
        assert_eq!(minter.mint(), Err(MintError::Lease("the disk is full")));
        assert_eq!((minter.minted(), minter.renew()), (0, Err("the disk is full")));
    }
}
