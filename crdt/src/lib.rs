//! Data types that merge: dots with payloads, and a way to read them.
//!
//! Every type but the plain lattices is a *dot store* (which dots live where) under one context (everything ever seen),
//! merged by one rule: a dot stays if both have it, or if the side that lacks it has never seen it
//! ([`causal::DotFun::join`]). Types differ in their operations (which dots to replace, which to add) and readings (how
//! live dots become a value).
//!
//! Two forms share this code: an object in memory, which a [`Replica`] edits, and one that is kept place by place in
//! records ([`Stored`], [`StoredLattice`]). The nodes of a cluster keep cells of one kind for all types ([`Entry`]), which [`reading`]
//! interprets.
//!
//! ```
//! use causal::Minter;
//! use crdt::{AwSet, Replica};
//! let [mut a, mut b] = ["a", "b"].map(|name| Replica::<AwSet<&str, &str>>::new(Minter::once(name)));
//! b.apply(&a.edit(|set| set.add("x"))?)?;
//! let removal = b.edit(|set| set.remove("x"))?;
//! let again = a.edit(|set| set.add("x"))?;           // has not seen the removal: the add wins
//! a.apply(&removal)?;
//! b.apply(&again)?;
//! assert_eq!(a.state(), b.state());
//! assert!(a.contains("x"));
//! # Ok::<(), crdt::Error<&str>>(())
//! ```
//!
//! | type | rule under concurrency |
//! |---|---|
//! | [`MvRegister`] | all writes that no other has seen: the siblings |
//! | [`LwwRegister`] | greatest hybrid clock, then actor |
//! | [`MaxRegister`], [`MinRegister`] | greatest, smallest |
//! | [`EwFlag`], [`DwFlag`] | enable wins, disable wins |
//! | [`AwSet`], [`RwSet`], [`LwwSet`] | add wins, remove wins, later clock wins |
//! | [`GCounter`], [`PnCounter`], [`GSet`] | sum for each actor, union; not resettable, not in maps |
//! | [`BoundedCounter`] | never below zero: who takes away needs rights, which can be handed over |
//! | [`Counter`] | the increments that no visible reset has seen, exactly |
//! | [`Hll`] | union |
//! | [`ZSet`] | each score a [`Num`]; rank in O(log n) |
//! | [`Num`] | the value set last, and the increments it has not seen |
//! | [`AwMap`] of any of these, any depth | removal resets what it has seen; concurrent updates keep only their own effect |
//! | [`Document`] | a map's value whose type is decided by who writes to it |
//! | [`Log`] | ordered by clock and actor; a cursor misses nothing |
//! | [`Seq`], [`Text`] | between what stood there; concurrent runs do not interleave |
//! | [`Expiring`] | longest deadline, none beats all |
#![forbid(unsafe_code)]

#[cfg(all(doctest, feature = "laws", feature = "token"))]
#[doc = include_str!("../README.md")]
struct Readme;

mod boxed;
mod bytes;
mod counter;
mod document;
mod edit;
mod entry;
mod error;
mod expiry;
mod few;
mod flag;
mod hll;
mod lattice;
#[cfg(feature = "laws")]
pub mod laws;
mod log;
mod map;
pub mod reading;
mod register;
mod replica;
mod rope;
mod seq;
#[cfg(feature = "serde")]
mod serde_form;
mod session;
mod set;
mod state;
mod store;
mod stored;
mod stored_lattice;
mod tally;
#[cfg(feature = "token")]
mod token;
mod zset;

pub use boxed::Boxed;
pub use bytes::{
    ItemBytes, KeyBytes, LatticeBytes, MAX_DEPTH, PayloadBytes, Place, StoreBytes, StoreReader, StoreWriter, Visit,
    Wanted,
};
pub use causal;
pub use causal::Hlc;
pub use counter::{Contribution, Counter, Num};
pub use document::{Document, Scalar};
pub use edit::Edit;
pub use entry::{Content, Entry};
pub use error::{Error, Shortage};
pub use expiry::{Deadline, Expiring};
pub use flag::{DwFlag, EwFlag};
pub use hll::Hll;
pub use lattice::{BoundedCounter, Entries, GCounter, GSet, Lattice, Owner, PnCounter};
pub use log::{Cursor, Log};
pub use map::AwMap;
pub use register::{Held, LwwRegister, MaxRegister, MinRegister, MvRegister, Stamped};
pub use replica::Replica;
pub use seq::{Seq, Text};
pub use set::{AwSet, LwwSet, RwSet};
pub use state::{Delta, Digest, State};
pub use store::{DotMap, DotSet, DotStore, Payload};
pub use stored::{Batch, Records, Stored};
pub use stored_lattice::StoredLattice;
pub use tally::{Mark, Seen, Tallies, Tally};
pub use zset::ZSet;
