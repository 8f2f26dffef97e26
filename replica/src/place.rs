//! Places inside a partition: cells of keys, whole keys, the whole partition.

use serde::{Deserialize, Serialize};

/// What kind of place a cell is; in the order in which a key with several kinds shows its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CellKind {
    /// The one value of a string.
    Value,
    /// A member of a set.
    Member,
    /// A field of a hash.
    Field,
}

/// A cell of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CellId {
    /// The kind of cell.
    pub kind: CellKind,
    /// Member or field; empty for [`CellKind::Value`].
    #[serde(with = "serde_bytes")]
    pub name: Vec<u8>,
}

impl CellId {
    /// The value of a string.
    #[must_use]
    pub fn value() -> Self {
        Self { kind: CellKind::Value, name: Vec::new() }
    }

    /// A member of a set.
    #[must_use]
    pub fn member(name: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Member, name: name.into() }
    }

    /// A field of a hash.
    #[must_use]
    pub fn field(name: impl Into<Vec<u8>>) -> Self {
        Self { kind: CellKind::Field, name: name.into() }
    }
}

/// What an event happened to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// Everything in the partition.
    Partition,
    /// Everything of a key.
    Key(#[serde(with = "serde_bytes")] Vec<u8>),
    /// One cell of a key.
    Cell(#[serde(with = "serde_bytes")] Vec<u8>, CellId),
}

impl Place {
    /// The key, unless it is the whole partition.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match self {
            Place::Partition => None,
            Place::Key(key) | Place::Cell(key, _) => Some(key),
        }
    }
}
