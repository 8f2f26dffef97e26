//! Causality for data that is written in many places at once.
//!
//! # The idea on one page
//!
//! Two people change the same thing without having seen each other's change. Which one is newer? Neither: a wall clock
//! would pick one and lose the other. What can be known is who had *seen* what, and that decides everything:
//!
//! - Each write is an event with a name of its own, a [`Dot`]: `(actor, counter)`, the counter-th write of that actor.
//! - A writer hands in the set of dots it had seen, its [`CausalContext`]. The write replaces the values whose dots are
//!   in it, and no others. What it did not replace stands beside it: *siblings*.
//! - A place that is kept in copies is therefore two sets: the live dots `L` with their values, and the context `C` of
//!   all dots ever seen there. A dot in `C` and not in `L` was replaced or removed; a dot not in `C` is news.
//! - So copies merge without asking anybody, in any order, any number of times:
//!   `L = (L1 & L2) + (L1 - C2) + (L2 - C1)`, `C = C1 + C2`. A value stays if both have it, or if the side that lacks
//!   it has never seen it. Late messages resurrect nothing, and no removal needs a tombstone of its own.
//!
//! ```
//! use causal::{CausalContext, Minter, Siblings};
//!
//! let (mut a, mut b) = (Minter::once("a"), Minter::once("b"));
//! let mut at_a: Siblings<&str, &str> = Siblings::new();
//! let mut at_b = at_a.clone();
//! at_a.update(&CausalContext::new(), &mut a, "milk")?;    // two writers who have not seen each other
//! at_b.update(&CausalContext::new(), &mut b, "bread")?;
//! at_a.sync(&at_b)?;
//! assert_eq!(at_a.values().copied().collect::<Vec<_>>(), ["milk", "bread"]);
//!
//! let seen = at_a.context().clone();                      // a writer who has seen both replaces both
//! at_a.update(&seen, &mut a, "milk,bread")?;
//! at_a.sync(&at_b)?;                                      // an old message resurrects nothing
//! assert_eq!(at_a.values().copied().collect::<Vec<_>>(), ["milk,bread"]);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! Everything else is that idea, made small and kept safe:
//!
//! - *Small.* Contexts are runs of counters per actor, not lists ([`IntervalSet`]); without gaps they are a
//!   [`VersionVector`], and a place whose contexts have none is a [`DvvSet`], one vector for all its siblings.
//!   [`Versions`] is whichever of the two fits; [`Dvv`] is the papers' first form, one clock per sibling. A node with
//!   many places says once, in its [`NodeClock`], what all of them have seen.
//! - *Safe.* All of it rests on one rule: a dot names one write for ever. A [`Minter`] gives each dot once, also over
//!   crashes and restored backups; should one be met with two values all the same, it is a [`DoubleSpentDot`].
//! - *In order.* [`Causality`] says how two states stand to each other, and knows that a removal is news. Where
//!   causality leaves the order open, a [`HybridClock`] can close it.
//! - *On its way.* Contexts and sets have canonical bytes; a client carries a context as an opaque `Token`.
//!
//! The kernel has the names of the papers: `sync`, `context` (there: *join*), `discard`, `event`, `update`.
//!
//! `no_std` with `alloc`; no heap allocation for up to four actors without gaps and one sibling. Features: `token`
//! (default), `hmac` (sealed tokens), `serde`, `uuid`.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod actor;
mod actor_map;
mod causality;
mod codec;
mod context;
mod dot;
mod dot_fun;
pub mod dvv;
mod dvv_set;
mod hlc;
mod incarnation;
mod interval_set;
mod minter;
mod node_clock;
#[cfg(feature = "serde")]
mod serde_form;
mod siblings;
#[cfg(feature = "token")]
mod token;
mod value;
mod version_vector;
mod versions;
mod watermarks;

pub use actor::{Actor, ActorBytes, MAX_TEXT_ACTOR_BYTES};
pub use causality::Causality;
pub use codec::{DecodeError, Reader, Reason};
pub use context::CausalContext;
pub use dot::{Dot, DoubleSpentDot, MAX_COUNTER};
pub use dot_fun::{DotFun, EventSet, JoinOutcome};
pub use dvv::Dvv;
pub use dvv_set::DvvSet;
pub use hlc::{FarFuture, Hlc, HybridClock};
pub use incarnation::Incarnation;
pub use interval_set::{IntervalSet, Run};
pub use minter::{Lease, Leased, MintError, Minter, NoSuccessor, Once};
pub use node_clock::{NodeClock, Stripped};
pub use siblings::Siblings;
#[cfg(feature = "hmac")]
pub use token::Seal;
#[cfg(feature = "token")]
pub use token::{Token, TokenError};
pub use value::ValueBytes;
pub use version_vector::{Gap, VersionVector};
pub use versions::Versions;
pub use watermarks::{StableCut, Watermarks};
