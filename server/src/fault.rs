//! Faults on request: links cut, slowed or lossy, for demonstrations and tests. The order itself ignores them.

use std::collections::BTreeSet;

use replica::NodeId;
use serde::{Deserialize, Serialize};

/// The faults in force, the same on every node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// These nodes are separated from all others.
    pub cut: BTreeSet<NodeId>,
    /// Every message between nodes takes so much longer.
    pub delay_ms: u32,
    /// So many of a hundred messages between nodes are lost.
    pub drop_percent: u8,
}

impl Faults {
    /// Are the two on different sides of the cut?
    #[must_use]
    pub fn separate(&self, one: NodeId, other: NodeId) -> bool {
        self.cut.contains(&one) != self.cut.contains(&other)
    }
}
