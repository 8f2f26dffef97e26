//! Who and where: nodes, their incarnations, partitions.

use std::fmt;

use causal::{ActorBytes, DecodeError, Reader};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// How many slots keys hash to (as in Redis Cluster).
pub const SLOTS: u16 = 16_384;
/// How many equal partitions the slots are divided into.
pub const PARTITIONS: u16 = 1_024;

/// A node, for as long as its data directory lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId(pub Uuid);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.simple().fmt(f)
    }
}

/// A cluster: the id of the node that began it. One that has not joined yet has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub Option<Uuid>);

impl ClusterId {
    /// May nodes of these two have to do with each other? One that has not joined yet may with any.
    #[must_use]
    pub fn may_meet(self, other: Self) -> bool {
        self == other || self.0.is_none() || other.0.is_none()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(founder) => founder.simple().fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// One run of a node. A node takes a greater one at every start, before its first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Incarnation(pub u32);

impl Incarnation {
    /// The one for a run that starts so many seconds after a fixed moment. It is greater than the one before, and no less than the
    /// seconds, so that a data directory that is restored from a copy does not mint under a name already used. Where the clock
    /// does not tell two copies of a directory apart, `chance` does: the step is some number up to [`Self::STRIDE`].
    #[must_use]
    pub fn next(self, seconds: u32, chance: u64) -> Self {
        let step = chance % Self::STRIDE;
        if seconds > self.0 { Self(seconds) } else { Self(self.0.saturating_add(1 + step as u32)) }
    }

    /// How far apart two runs of which the clock does not say which is later are at most.
    pub const STRIDE: u64 = 4_096;
}

/// The one who mints dots: a node in one of its incarnations. Nobody else ever mints under this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Actor {
    /// The node.
    pub node: NodeId,
    /// Its run.
    pub incarnation: Incarnation,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.8}.{}", self.node.to_string(), self.incarnation.0)
    }
}

/// In tokens: 16 bytes of node, and the incarnation as a minimal varint.
impl ActorBytes for Actor {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.node.0.as_bytes());
        let mut rest = self.incarnation.0;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let node = NodeId(Uuid::from_bytes(from.array()?));
        let incarnation = u32::try_from(from.varint()?).map_err(|_| from.refuse(causal::Reason::Overflow))?;
        Ok(Self { node, incarnation: Incarnation(incarnation) })
    }
}

/// A dot of this cluster.
pub type Dot = causal::Dot<Actor>;
/// A causal context of this cluster.
pub type Context = causal::CausalContext<Actor>;
/// What a live dot says.
pub type Entry = crdt::Entry<Actor>;
/// The live dots of one cell.
pub type Cell = crdt::reading::Cell<Actor>;
/// What was seen of a counter run.
pub type Seen = crdt::Seen<Actor>;

/// One of the [`PARTITIONS`] equal slices of the key space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct PartitionId(u16);

impl TryFrom<u16> for PartitionId {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        Self::new(number).ok_or_else(|| format!("there is no partition {number}, only {PARTITIONS}"))
    }
}

impl PartitionId {
    /// The partition of a slot.
    ///
    /// # Panics
    /// If `slot` is not below [`SLOTS`].
    #[must_use]
    pub fn of_slot(slot: u16) -> Self {
        assert!(slot < SLOTS, "slot {slot} of {SLOTS}");
        Self(slot / (SLOTS / PARTITIONS))
    }

    /// The partition with this number, if there is one.
    #[must_use]
    pub fn new(number: u16) -> Option<Self> {
        (number < PARTITIONS).then_some(Self(number))
    }

    /// Its number, below [`PARTITIONS`].
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Every partition, ascending.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..PARTITIONS).map(Self)
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
