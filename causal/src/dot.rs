//! The name of one event.

use core::fmt;

/// The greatest counter a dot may have: two bits are kept for the byte format.
pub const MAX_COUNTER: u64 = (1 << 62) - 1;

/// One event: the `counter`-th of `actor`, counted from 1. A dot names one write for ever.
///
/// The derived order (actor, then counter) is for sorting only; it says nothing of causality.
///
/// ```
/// use causal::Dot;
/// let dot = Dot::new("a", 3);
/// assert_eq!(dot.to_string(), "a:3");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Dot<A> {
    /// Who wrote.
    pub actor: A,
    /// The how-many-eth event of that actor this is; never 0 in a dot that names an event.
    #[cfg_attr(feature = "serde", serde(deserialize_with = "read_counter"))]
    pub counter: u64,
}

impl<A> Dot<A> {
    /// The `counter`-th event of `actor`.
    ///
    /// # Panics
    /// If `counter` is 0 (there is no zeroth event) or beyond [`MAX_COUNTER`].
    #[must_use]
    pub fn new(actor: A, counter: u64) -> Self {
        assert!((1..=MAX_COUNTER).contains(&counter), "a dot counts from 1 to 2^62 - 1");
        Self { actor, counter }
    }
}

/// A counter from elsewhere: 1 to [`MAX_COUNTER`], or the dot names no event.
#[cfg(feature = "serde")]
fn read_counter<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let counter = <u64 as serde::Deserialize>::deserialize(deserializer)?;
    if (1..=MAX_COUNTER).contains(&counter) {
        Ok(counter)
    } else {
        Err(serde::de::Error::custom("a dot counts from 1 to 2^62 - 1"))
    }
}

impl<A: fmt::Display> fmt::Display for Dot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.actor, self.counter)
    }
}

/// Two different payloads under one dot: an actor was in use twice, or came back without its past.
/// Nothing was merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DoubleSpentDot<A>(pub Dot<A>);

impl<A: fmt::Debug> fmt::Display for DoubleSpentDot<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "dot ({:?}, {}) names two different writes: the actor is in use twice or was restored from a copy; give it a new incarnation",
            self.0.actor, self.0.counter
        )
    }
}

impl<A: fmt::Debug> core::error::Error for DoubleSpentDot<A> {}
