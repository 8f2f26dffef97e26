//! An actor that can begin anew: a node and the number of its life.

use core::fmt;

/// A node in one of its lives. A node that may have forgotten what it wrote goes on as the next one.
///
/// ```
/// use causal::Incarnation;
/// let phone = Incarnation { node: "phone", number: 1 };
/// let next = phone.next().expect("not the last of 2^64 lives");
/// assert!(phone < next);
/// assert_eq!(next.to_string(), "phone.2");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Incarnation<N> {
    /// Who, for as long as the device or data directory lives. No two nodes may share it: a UUID is best.
    pub node: N,
    /// The how-many-eth life.
    pub number: u64,
}

impl<N: Clone> Incarnation<N> {
    /// The life after this one; none after the last number.
    ///
    /// A node whose storage was *copied* exists twice, and both copies would go on as the same next incarnation:
    /// there, give one of them a new `node`.
    #[must_use]
    pub fn next(&self) -> Option<Self> {
        Some(Self { node: self.node.clone(), number: self.number.checked_add(1)? })
    }
}

impl<N: fmt::Display> fmt::Display for Incarnation<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.number)
    }
}
