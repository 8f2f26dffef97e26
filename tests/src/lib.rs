//! The simulator: the replica code of the server, under one 64-bit seed.
//!
//! The seed decides everything: the workload, how long every message takes, which are lost, doubled or overtaken,
//! who is cut off from whom, which node crashes with its unsynced writes, whose wall clock jumps. An [`Oracle`]
//! that has seen every write says at the end what must be live, and nothing else may be.
//!
//! ```
//! let outcome = simulator::run(7, &simulator::Plan::default());
//! assert_eq!(outcome.violation, None);
//! assert_eq!(outcome, simulator::run(7, &simulator::Plan::default()), "a seed replays exactly");
//! ```
#![forbid(unsafe_code)]

mod control;
mod procedures;
mod workload;

pub use control::run_last_writer_wins;
pub use replica::world::{Fault, Oracle, Outcome, Plan, Sabotage, Scene};
use workload::{Taste, Workload};

/// Runs one seed with clients that do a bit of everything.
#[must_use]
pub fn run(seed: u64, plan: &Plan) -> Outcome {
    let taste = if plan.limits { Taste::Large } else { Taste::Everything };
    replica::world::run(seed, plan, &mut Workload::new(taste))
}

/// Runs one seed with clients that do little else than count, and set counters back.
#[must_use]
pub fn run_counting(seed: u64, plan: &Plan) -> Outcome {
    replica::world::run(seed, plan, &mut Workload::new(Taste::Counters))
}
