//! Data types that merge: dots with payloads, and a way to read them.
//!
//! Every type is a *dot store* (which dots live where) under one context (everything ever seen), and one merge
//! serves them all: [`causal::DotFun::join`]. Types differ only in their operations (which dots to replace, which
//! to add) and readings (how live dots become a value).
//!
//! Two forms share this: the types for memory ([`MvRegister`], [`Counter`], [`AwSet`], [`AwMap`]), and the
//! [`Entry`] of a stored cell, which a replica keeps cell by cell and [`reading`] interprets.
//!
//! ```
//! use crdt::AwSet;
//! let mut a: AwSet<&str, &str> = AwSet::new();
//! let mut b = a.clone();
//! b.merge_delta(&a.add("a", "x"))?;
//! let removal = b.remove(&"x");
//! let again = a.add("a", "x");                 // has not seen the removal: the add wins
//! a.merge_delta(&removal)?;
//! b.merge_delta(&again)?;
//! assert_eq!(a, b);
//! assert!(a.contains(&"x"));
//! # Ok::<(), causal::DoubleSpentDot<&str>>(())
//! ```
#![forbid(unsafe_code)]

mod aw_map;
mod aw_set;
mod causal_state;
mod counter;
mod entry;
mod mv_register;
pub mod reading;
mod store;
mod tally;

pub use aw_map::AwMap;
pub use aw_set::AwSet;
pub use causal::Hlc;
pub use causal_state::{Causal, Delta};
pub use counter::{Contribution, Counter};
pub use entry::{Content, Entry};
pub use mv_register::MvRegister;
pub use store::{DotMap, DotSet, DotStore};
pub use tally::{Mark, Seen, Tallies, Tally};
