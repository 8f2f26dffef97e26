//! What happens, step by step.

use quickcheck::{Arbitrary, Gen};

/// How the news travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Merges of whole states, old ones too.
    States,
    /// Deltas after everything their edit had seen, and merges.
    Causal,
    /// Deltas in any order, repeated, lost and fetched again, and merges. Not compared with the specification: a delta
    /// that overtakes others shows part of what they did. All replicas must end in the same state.
    Unordered,
    /// As `Causal`, and replicas that go back to an old state and begin another life.
    Crashes,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 4] = [Mode::States, Mode::Causal, Mode::Unordered, Mode::Crashes];
}

/// One step of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step<C> {
    /// A replica does something.
    Do {
        /// Which.
        at: usize,
        /// What its wall clock shows.
        wall_ms: u64,
        /// What.
        command: C,
    },
    /// A replica takes in a delta.
    Deliver {
        /// Which replica.
        to: usize,
        /// The delta of which event, counted round.
        event: usize,
    },
    /// A replica takes in another's state.
    Merge {
        /// Which replica.
        to: usize,
        /// Whose state.
        from: usize,
        /// How many changes ago it was taken, counted round.
        ago: usize,
    },
    /// A replica goes back to an earlier state of its own and begins another life.
    Crash {
        /// Which.
        at: usize,
        /// How many changes it loses, counted round.
        ago: usize,
    },
}

impl<C> Step<C> {
    /// The replica that changes.
    pub(crate) fn replica(&self) -> usize {
        match self {
            Step::Do { at, .. } | Step::Crash { at, .. } => *at,
            Step::Deliver { to, .. } | Step::Merge { to, .. } => *to,
        }
    }
}

/// How many replicas there are.
pub(crate) const REPLICAS: usize = 3;

pub(crate) fn arbitrary<C: Arbitrary>(g: &mut Gen, mode: Mode, size: usize) -> Vec<Step<C>> {
    let below = |g: &mut Gen, bound: usize| usize::arbitrary(g) % bound;
    // Commands come from a few, so that they meet: the chance that two of 256 elements are the same is no test.
    let commands: Vec<C> = (0..3).map(|_| C::arbitrary(g)).collect();
    let step = |g: &mut Gen| match (below(g, 12), mode) {
        (0..5, _) => {
            let command = commands[below(g, commands.len())].clone();
            Step::Do { at: below(g, REPLICAS), wall_ms: below(g, 4) as u64, command }
        }
        (5..8, Mode::Causal | Mode::Unordered | Mode::Crashes) => {
            Step::Deliver { to: below(g, REPLICAS), event: below(g, size) }
        }
        (11, Mode::Crashes) => Step::Crash { at: below(g, REPLICAS), ago: below(g, 3) },
        _ => {
            let ago = if below(g, 3) == 0 { below(g, size) } else { 0 };
            Step::Merge { to: below(g, REPLICAS), from: below(g, REPLICAS), ago }
        }
    };
    (0..size).map(|_| step(g)).collect()
}
