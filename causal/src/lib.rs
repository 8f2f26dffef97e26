//! Causality for data that is written in many places at once.
//!
//! Everything here is a compression of *causal histories*: sets of events, each named by a [`Dot`]
//! `(actor, counter)`. A [`VersionVector`] is a set without gaps, a [`CausalContext`] one that may have them.
//! A value together with what its writer had seen is a [`Dvv`]; the live values of one place together with
//! everything ever seen there are a [`DvvSet`] (dense, Almeida et al. 2014) or [`Siblings`] (with gaps: what
//! deltas, partial reads and partitions need). Clients carry a context as an opaque [`Token`].
//!
//! ```
//! use causal::{CausalContext, Siblings};
//!
//! let (a, b) = ("a", "b");
//! let mut at_a: Siblings<&str, &str> = Siblings::new();
//! let mut at_b = at_a.clone();
//! at_a.update(&CausalContext::new(), a, "milk");       // two writers who have not seen each other
//! at_b.update(&CausalContext::new(), b, "bread");
//! at_a.sync(&at_b)?;
//! assert_eq!(at_a.values().copied().collect::<Vec<_>>(), ["milk", "bread"]);
//!
//! let seen = at_a.context().clone();                   // a writer who has seen both replaces both
//! at_a.update(&seen, a, "milk,bread");
//! at_a.sync(&at_b)?;                                   // an old message resurrects nothing
//! assert_eq!(at_a.values().copied().collect::<Vec<_>>(), ["milk,bread"]);
//! # Ok::<(), causal::DoubleSpentDot<&str>>(())
//! ```
//!
//! `no_std` with `alloc`; no heap allocation for up to four actors without gaps. Features: `serde`, `uuid`,
//! `token` (default).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod actor;
mod causality;
mod codec;
mod context;
mod dot;
mod dot_fun;
pub mod dvv;
mod dvv_set;
mod interval_set;
mod siblings;
#[cfg(feature = "token")]
mod token;
mod version_vector;

pub use actor::{Actor, ActorBytes};
pub use causality::Causality;
pub use codec::{DecodeError, Reader};
pub use context::CausalContext;
pub use dot::{Dot, DoubleSpentDot, MAX_COUNTER};
pub use dot_fun::{DotFun, EventSet, JoinOutcome};
pub use dvv::Dvv;
pub use dvv_set::DvvSet;
pub use interval_set::{IntervalSet, Run};
pub use siblings::Siblings;
#[cfg(feature = "token")]
pub use token::{Token, TokenError};
pub use version_vector::VersionVector;
