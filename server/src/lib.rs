//! The Redis-speaking shell around `replica`.
#![forbid(unsafe_code)]

pub mod resp;
