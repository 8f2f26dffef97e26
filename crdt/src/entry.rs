//! The payload of a live dot in a stored cell.
//!
//! A cell is one place of a key: the value of a string, a member of a set, a field of a hash. What a dot says
//! there is one of four things, whatever the type of the key.

use causal::Hlc;

use crate::{Seen, Tally};

/// What one live dot of a cell says, and when it was said.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Entry<A> {
    /// When, by the coordinator's hybrid logical clock.
    pub at: Hlc,
    /// What.
    pub content: Content<A>,
}

/// The kinds of things a live dot can say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Content<A> {
    /// A register was written. `seen`: the increments the write replaced, see [`Tally`].
    Value {
        /// The bytes written.
        #[cfg_attr(feature = "serde", serde(with = "serde_bytes"))]
        bytes: Vec<u8>,
        /// What the write has seen of each counter run here.
        seen: Vec<Seen<A>>,
    },
    /// A member was added.
    Member,
    /// An actor's running total of increments.
    Tally(Tally),
    /// Increments were removed and nothing was put in their place.
    Reset {
        /// What the removal has seen of each run.
        seen: Vec<Seen<A>>,
    },
}

impl<A> Content<A> {
    /// What this dot has seen of counter runs.
    #[must_use]
    pub fn seen(&self) -> &[Seen<A>] {
        match self {
            Content::Value { seen, .. } | Content::Reset { seen } => seen,
            Content::Member | Content::Tally(_) => &[],
        }
    }
}
