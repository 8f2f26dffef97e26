//! How two states or histories stand to each other.

/// The outcome of a comparison in a partial order.
///
/// There is no `PartialOrd` on causal types: `a < b` reads like a total order and hides the fourth case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Causality {
    /// The left side is strictly in the past of the right one.
    Before,
    /// Both are the same.
    Equal,
    /// The right side is strictly in the past of the left one.
    After,
    /// Neither has seen all of the other.
    Concurrent,
}

impl Causality {
    /// From the two halves of the order: is left within right, is right within left?
    #[must_use]
    pub fn from_inclusions(left_within_right: bool, right_within_left: bool) -> Self {
        match (left_within_right, right_within_left) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::Before,
            (false, true) => Causality::After,
            (false, false) => Causality::Concurrent,
        }
    }
}
